/*= clamp */
static inline int32_t clamp(int32_t value, int32_t least, int32_t most) {
  return value < least ? least : value > most ? most : value;
}
/*= rescale */
/* value * multiplier * 2^(shift - 31), rounded as TFLite's reference kernels round: halves up where the 64-bit product
   is cut to its upper half, then halves away from zero where that is shifted right. */
static inline int32_t rescale(int32_t value, int32_t multiplier, int shift) {
  const int left = shift > 0 ? shift : 0, right = left - shift;
  const int64_t product = (int64_t)(value * ((int32_t)1 << left)) * multiplier;
  const int32_t high = (int32_t)((product + ((int64_t)1 << 30)) >> 31);
  const int32_t mask = (int32_t)(((uint32_t)1 << right) - 1u);
  return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0));
}
/*= rescale_once */
/* The same rounded once, halves up: as TFLite has it for dense layers. */
static inline int32_t rescale_once(int32_t value, int32_t multiplier, int shift) {
  return (int32_t)(((int64_t)value * multiplier + ((int64_t)1 << (30 - shift))) >> (31 - shift));
}
/*= take */
/* Values are kept with 128 added, so that they are unsigned: products of unsigned by signed bytes are what processors
   have instructions for. */
static void take(int count, const int8_t *x, uint8_t *y) {
  for (int i = 0; i < count; ++i) y[i] = (uint8_t)(x[i] + 128);
}
/*= give */
static void give(int count, const uint8_t *x, int8_t *y) {
  for (int i = 0; i < count; ++i) y[i] = (int8_t)(x[i] - 128);
}
/*= layer */
#define ECGEDGE_BLOCK 64 /* channels whose sums are kept on the stack, and whose weights lie together */
struct layer {
  const int8_t *weights;
  const int32_t *bias; /* less the input's zero point times all weights of the channel */
  const int32_t *multiplier;
  const int8_t *shift;
  uint8_t zero, out_zero, least, most;
  int length, stride, dilation, padding, out_length, channels;
};
/*= finish clamp rescale layer */
static inline void finish(const struct layer *layer, int block, int count, const int32_t *sums, uint8_t *y) {
  const int32_t *multiplier = layer->multiplier + block;
  const int8_t *shift = layer->shift + block;
  const int32_t out_zero = layer->out_zero, least = layer->least, most = layer->most;
  for (int o = 0; o < count; ++o)
    y[o] = (uint8_t)clamp(rescale(sums[o], multiplier[o], shift[o]) + out_zero, least, most);
}
/*= dots */
/* Adds the products of 4 n values with the weights of count channels, which lie (n, count, 4). */
#ifdef __GNUC__
__attribute__((noinline, unused)) /* so that all registers are the loop's, and it is there once */
#endif
static void dots(const uint8_t *x, const int8_t *w, int n, int count, int32_t *sums) {
  for (int i = 0; i < n; ++i, x += 4) {
    const int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
    for (int o = 0; o < count; ++o, w += 4) sums[o] += x0 * w[0] + x1 * w[1] + x2 * w[2] + x3 * w[3];
  }
}
/*= outside */
/* The same of taps that lie outside: all their values are the zero point. */
static inline void outside(int32_t zero, const int8_t *w, int n, int count, int32_t *sums) {
  for (int i = 0; i < n; ++i)
    for (int o = 0; o < count; ++o, w += 4) sums[o] += zero * (w[0] + w[1] + w[2] + w[3]);
}
/*= vectors */
/* The same as the plain C beside them, 16 or 64 values at once, where the compiler is told of such a processor. */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && !defined(__cplusplus)
#define ECGEDGE_VECTORS
#include <immintrin.h>
#define ECGEDGE_INLINE __attribute__((always_inline)) static inline
/* The upper half of value * multiplier, rounded as rescale does; odd holds the multipliers of the odd values. */
ECGEDGE_INLINE __m512i high_of(__m512i value, __m512i multiplier, __m512i odd) {
  const __m512i half = _mm512_set1_epi64((int64_t)1 << 30);
  const __m512i a = _mm512_add_epi64(_mm512_mul_epi32(value, multiplier), half);
  const __m512i b = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(value, 32), odd), half);
  return _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(a, 31), _mm512_slli_epi64(b, 1));
}
/* rescale's shift by right, which is 1 at least and leaves room for plus, which is half of what is cut off, and may hold
   multiples of it, to be added. */
ECGEDGE_INLINE __m512i shifted(__m512i high, __m512i right, __m512i plus) {
  return _mm512_srav_epi32(_mm512_add_epi32(_mm512_add_epi32(high, plus), _mm512_srai_epi32(high, 31)), right);
}
ECGEDGE_INLINE __m512i plus_of(__m512i right, int32_t zero) {
  const __m512i one = _mm512_set1_epi32(1);
  return _mm512_add_epi32(_mm512_srli_epi32(_mm512_sllv_epi32(one, right), 1),
                          _mm512_sllv_epi32(_mm512_set1_epi32(zero), right));
}
/* 64 values as bytes between least and most. */
ECGEDGE_INLINE __m512i bytes_of(__m512i a, __m512i b, __m512i c, __m512i d, __m512i least, __m512i most) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i mixed = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
  return _mm512_min_epu8(_mm512_max_epu8(_mm512_permutexvar_epi32(order, mixed), least), most);
}
#endif
/*= rows_of_channels layer vectors */
#ifdef ECGEDGE_VECTORS
enum { ROWS = 4, KEPT = 256 }; /* samples that are computed at once, of so many channels at most */
/* Four values, 16 times. */
ECGEDGE_INLINE __m512i four_of(const uint8_t *x) {
  int32_t four;
  memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}
/* What finish does, for 16 channels of some samples. */
static inline void finish_16(const struct layer *layer, int channel, __mmask16 some, int rows, const __m512i *sums,
                             uint8_t *y) {
  const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);
  const __m512i least = _mm512_set1_epi32(layer->least), most = _mm512_set1_epi32(layer->most);
  const __m512i multiplier = _mm512_maskz_loadu_epi32(some, layer->multiplier + channel);
  const __m512i shift = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, layer->shift + channel));
  const __m512i left = _mm512_max_epi32(shift, zero), right = _mm512_sub_epi32(left, shift);
  const __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, right), one);
  for (int r = 0; r < rows; ++r, y += layer->channels) {
    const __m512i high = high_of(_mm512_sllv_epi32(sums[r], left), multiplier, _mm512_srli_epi64(multiplier, 32));
    const __m512i limit = _mm512_sub_epi32(_mm512_srli_epi32(mask, 1), _mm512_srai_epi32(high, 31));
    const __mmask16 up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(high, mask), limit);
    __m512i z = _mm512_add_epi32(_mm512_srav_epi32(high, right), _mm512_set1_epi32(layer->out_zero));
    z = _mm512_mask_add_epi32(z, up, z, one);
    _mm512_mask_cvtepi32_storeu_epi8(y, some, _mm512_min_epi32(_mm512_max_epi32(z, least), most));
  }
}
/* The same for 64 channels. Returns 0, and does nothing, where a shift is to the left, none, or far to the right. */
static inline int finish_64(const struct layer *layer, int channel, int rows, const __m512i sums[4][ROWS], uint8_t *y) {
  const __m512i shift = _mm512_loadu_si512(layer->shift + channel);
  if (~_mm512_movepi8_mask(shift) || ~_mm512_cmpgt_epi8_mask(shift, _mm512_set1_epi8(-17))) return 0;
  const __m512i least = _mm512_set1_epi8((char)layer->least), most = _mm512_set1_epi8((char)layer->most);
  __m512i multiplier[4], right[4], plus[4];
  for (int g = 0; g < 4; ++g) {
    multiplier[g] = _mm512_loadu_si512(layer->multiplier + channel + 16 * g);
    right[g] = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(layer->shift + channel + 16 * g)));
    right[g] = _mm512_sub_epi32(_mm512_setzero_si512(), right[g]);
    plus[g] = plus_of(right[g], layer->out_zero);
  }
  for (int r = 0; r < rows; ++r, y += layer->channels) {
    __m512i z[4];
    for (int g = 0; g < 4; ++g)
      z[g] = shifted(high_of(sums[g][r], multiplier[g], _mm512_srli_epi64(multiplier[g], 32)), right[g], plus[g]);
    _mm512_storeu_si512(y, bytes_of(z[0], z[1], z[2], z[3], least, most));
  }
  return 1;
}
#endif
/*= tile rows_of_channels */
#ifdef ECGEDGE_VECTORS
/* ROWS samples of a convolution for count channels from channel on, in groups of 16; the last group has those in last. x
   has where each tap of each sample lies, four inputs after four inputs. */
ECGEDGE_INLINE void tile(const struct layer *layer, const uint8_t *const *x, int taps, int fours, int channel,
                        const int groups, __mmask16 last, int count, int rows, uint8_t *y) {
  const int8_t *w = layer->weights + channel * taps * fours * 4;
  const int32_t *bias = layer->bias + channel;
  const __mmask16 m0 = groups > 1 ? 0xffff : last, m1 = groups > 2 ? 0xffff : last, m2 = groups > 3 ? 0xffff : last;
  __m512i a0 = _mm512_maskz_loadu_epi32(m0, bias), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  if (groups > 1) b0 = b1 = b2 = b3 = _mm512_maskz_loadu_epi32(m1, bias + 16);
  __m512i c0 = b0, c1 = b0, c2 = b0, c3 = b0, d0 = b0, d1 = b0, d2 = b0, d3 = b0;
  if (groups > 2) c0 = c1 = c2 = c3 = _mm512_maskz_loadu_epi32(m2, bias + 32);
  if (groups > 3) d0 = d1 = d2 = d3 = _mm512_maskz_loadu_epi32(last, bias + 48);
  for (int k = 0; k < taps; ++k, x += ROWS)
    for (int i = 0; i < 4 * fours; i += 4, w += 4 * count) {
      const __m512i u0 = four_of(x[0] + i), u1 = four_of(x[1] + i), u2 = four_of(x[2] + i), u3 = four_of(x[3] + i);
      __m512i v = _mm512_maskz_loadu_epi32(m0, w);
      a0 = _mm512_dpbusd_epi32(a0, u0, v), a1 = _mm512_dpbusd_epi32(a1, u1, v);
      a2 = _mm512_dpbusd_epi32(a2, u2, v), a3 = _mm512_dpbusd_epi32(a3, u3, v);
      if (groups > 1) {
        v = _mm512_maskz_loadu_epi32(m1, w + 64);
        b0 = _mm512_dpbusd_epi32(b0, u0, v), b1 = _mm512_dpbusd_epi32(b1, u1, v);
        b2 = _mm512_dpbusd_epi32(b2, u2, v), b3 = _mm512_dpbusd_epi32(b3, u3, v);
      }
      if (groups > 2) {
        v = _mm512_maskz_loadu_epi32(m2, w + 128);
        c0 = _mm512_dpbusd_epi32(c0, u0, v), c1 = _mm512_dpbusd_epi32(c1, u1, v);
        c2 = _mm512_dpbusd_epi32(c2, u2, v), c3 = _mm512_dpbusd_epi32(c3, u3, v);
      }
      if (groups > 3) {
        v = _mm512_maskz_loadu_epi32(last, w + 192);
        d0 = _mm512_dpbusd_epi32(d0, u0, v), d1 = _mm512_dpbusd_epi32(d1, u1, v);
        d2 = _mm512_dpbusd_epi32(d2, u2, v), d3 = _mm512_dpbusd_epi32(d3, u3, v);
      }
    }
  const __m512i sums[4][ROWS] = {{a0, a1, a2, a3}, {b0, b1, b2, b3}, {c0, c1, c2, c3}, {d0, d1, d2, d3}};
  if (count == 64 && finish_64(layer, channel, rows, sums, y)) return;
  for (int g = 0; g < groups; ++g)
    finish_16(layer, channel + 16 * g, g + 1 < groups ? 0xffff : last, rows, sums[g], y + 16 * g);
}
#endif
/*= conv dots finish outside tile */
/* Convolution over ${inputs} channels with ${taps} taps; weights lie (block of channels, tap, four inputs, channel, 4). */
#ifdef ECGEDGE_VECTORS
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps}, FOURS = INPUTS / 4 };
  const int channels = layer->channels, at_once = channels <= KEPT ? ROWS : 1;
  uint8_t nothing[INPUTS], kept[ROWS * KEPT];
  const uint8_t *taps[TAPS * ROWS];
  memset(nothing, layer->zero, sizeof nothing);
  for (int t = 0; t < layer->out_length; t += at_once, y += at_once * channels) {
    const int rows = layer->out_length - t < at_once ? layer->out_length - t : at_once;
    uint8_t *to = at_once > 1 ? kept : y; /* y may lie over what is still to be read */
    for (int k = 0; k < TAPS; ++k)
      for (int r = 0; r < ROWS; ++r) {
        const int at = (t + (r < rows ? r : 0)) * layer->stride - layer->padding + k * layer->dilation;
        taps[k * ROWS + r] = at >= 0 && at < layer->length ? x + at * INPUTS : nothing;
      }
    for (int block = 0; block < channels; block += ECGEDGE_BLOCK) {
      const int count = channels - block < ECGEDGE_BLOCK ? channels - block : ECGEDGE_BLOCK;
      const int groups = (count + 15) / 16;
      const __mmask16 last = (__mmask16)(0xffff >> (16 * groups - count));
      if (groups == 4)
        tile(layer, taps, TAPS, FOURS, block, 4, last, count, rows, to + block);
      else if (groups == 3)
        tile(layer, taps, TAPS, FOURS, block, 3, last, count, rows, to + block);
      else if (groups == 2)
        tile(layer, taps, TAPS, FOURS, block, 2, last, count, rows, to + block);
      else
        tile(layer, taps, TAPS, FOURS, block, 1, last, count, rows, to + block);
    }
    if (at_once > 1) memcpy(y, kept, (size_t)(rows * channels));
  }
}
#else
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps}, FOURS = INPUTS / 4 };
  const int channels = layer->channels, dilation = layer->dilation, length = layer->length;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
    const int joined = dilation == 1 && start >= 0 && start + TAPS <= length ? TAPS : 1; /* taps that lie together */
    for (int block = 0; block < channels; block += ECGEDGE_BLOCK) {
      const int count = channels - block < ECGEDGE_BLOCK ? channels - block : ECGEDGE_BLOCK;
      const int8_t *w = layer->weights + block * INPUTS * TAPS;
      int32_t sums[ECGEDGE_BLOCK];
      memcpy(sums, layer->bias + block, (size_t)count * sizeof *sums);
      for (int k = 0; k < TAPS; k += joined, w += joined * INPUTS * count) {
        const int at = start + k * dilation;
        if (at >= 0 && at < length)
          dots(x + at * INPUTS, w, joined * FOURS, count, sums);
        else
          outside(layer->zero, w, FOURS, count, sums);
      }
      finish(layer, block, count, sums, y + block);
    }
  }
}
#endif
/*= conv_few finish rows_of_channels */
/* Convolution over ${inputs} channels with ${taps} taps: few products each, so the channels are what is done at once;
   weights lie (tap, input, channel). */
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps} };
  const int channels = layer->channels;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
#ifdef ECGEDGE_VECTORS
    for (int block = 0; block < channels; block += 64) {
      const int count = channels - block < 64 ? channels - block : 64;
      __m512i sums[4][ROWS];
      for (int g = 0; 16 * g < count; ++g) {
        const __mmask16 some = (__mmask16)(count - 16 * g < 16 ? 0xffff >> (16 - count + 16 * g) : 0xffff);
        const int8_t *w = layer->weights + block + 16 * g;
        __m512i sum = _mm512_maskz_loadu_epi32(some, layer->bias + block + 16 * g);
        for (int k = 0; k < TAPS; ++k) {
          const int at = start + k * layer->dilation;
          const int inside = at >= 0 && at < layer->length;
          for (int i = 0; i < INPUTS; ++i, w += channels) {
            const __m512i value = _mm512_set1_epi32(inside ? x[at * INPUTS + i] : layer->zero);
            const __m512i v = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, w));
            sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(value, v));
          }
        }
        sums[g][0] = sum;
        if (count < 64) finish_16(layer, block + 16 * g, some, 1, sums[g], y + block + 16 * g);
      }
      if (count == 64 && !finish_64(layer, block, 1, (const __m512i(*)[ROWS])sums, y + block))
        for (int g = 0; g < 4; ++g) finish_16(layer, block + 16 * g, 0xffff, 1, sums[g], y + block + 16 * g);
    }
#else
    for (int block = 0; block < channels; block += ECGEDGE_BLOCK) {
      const int count = channels - block < ECGEDGE_BLOCK ? channels - block : ECGEDGE_BLOCK;
      int32_t sums[ECGEDGE_BLOCK];
      memcpy(sums, layer->bias + block, (size_t)count * sizeof *sums);
      for (int k = 0; k < TAPS; ++k) {
        const int at = start + k * layer->dilation;
        const int inside = at >= 0 && at < layer->length;
        for (int i = 0; i < INPUTS; ++i) {
          const int32_t value = inside ? x[at * INPUTS + i] : layer->zero;
          const int8_t *w = layer->weights + (k * INPUTS + i) * channels + block;
          for (int o = 0; o < count; ++o) sums[o] += value * w[o];
        }
      }
      finish(layer, block, count, sums, y + block);
    }
#endif
  }
}
/*= dense clamp dots layer rescale_once */
/* A dense layer; its length is the number of its inputs in fours. Weights lie (block of channels, four inputs, channel,
   4). */
static void dense(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  const int32_t *multiplier = layer->multiplier;
  const int8_t *shift = layer->shift;
  for (int block = 0; block < layer->channels; block += ECGEDGE_BLOCK) {
    const int count = layer->channels - block < ECGEDGE_BLOCK ? layer->channels - block : ECGEDGE_BLOCK;
    int32_t sums[ECGEDGE_BLOCK];
    memcpy(sums, layer->bias + block, (size_t)count * sizeof *sums);
    dots(x, layer->weights + block * layer->length * 4, layer->length, count, sums);
    for (int o = 0; o < count; ++o) {
      const int32_t value = rescale_once(sums[o], *multiplier++, *shift++) + layer->out_zero;
      y[block + o] = (uint8_t)clamp(value, layer->least, layer->most);
    }
  }
}
/*= depthwise finish */
/* Depthwise convolution with ${taps} taps, ${each} channels of output for each of input; weights lie (tap, channel). */
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { TAPS = ${taps}, EACH = ${each} };
  const int channels = layer->channels, inputs = channels / EACH;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
    for (int block = 0; block < channels; block += ECGEDGE_BLOCK) {
      const int count = channels - block < ECGEDGE_BLOCK ? channels - block : ECGEDGE_BLOCK;
      int32_t sums[ECGEDGE_BLOCK];
      memcpy(sums, layer->bias + block, (size_t)count * sizeof *sums);
      for (int k = 0; k < TAPS; ++k) {
        const int at = start + k * layer->dilation;
        const int8_t *w = layer->weights + k * channels + block;
        if (at < 0 || at >= layer->length)
          for (int o = 0; o < count; ++o) sums[o] += layer->zero * w[o];
        else
          for (int o = 0; o < count; ++o) sums[o] += x[at * inputs + (block + o) / EACH] * w[o];
      }
      finish(layer, block, count, sums, y + block);
    }
  }
}
/*= pool */
struct pool {
  int length, channels, taps, stride, padding, out_length;
  int32_t least, most;
};
/*= max_pool clamp pool */
static void max_pool(const struct pool *pool, const uint8_t *x, uint8_t *y) {
  const int channels = pool->channels;
  for (int t = 0; t < pool->out_length; ++t, y += channels) {
    const int start = t * pool->stride - pool->padding;
    const int first = start < 0 ? 0 : start;
    const int last = start + pool->taps < pool->length ? start + pool->taps : pool->length;
    memcpy(y, x + first * channels, (size_t)channels);
    for (int k = first + 1; k < last; ++k)
      for (int c = 0; c < channels; ++c) y[c] = x[k * channels + c] > y[c] ? x[k * channels + c] : y[c];
    if (pool->least > 0 || pool->most < 255)
      for (int c = 0; c < channels; ++c) y[c] = (uint8_t)clamp(y[c], pool->least, pool->most);
  }
}
/*= average_pool clamp pool */
static void average_pool(const struct pool *pool, const uint8_t *x, uint8_t *y) {
  const int channels = pool->channels;
  for (int t = 0; t < pool->out_length; ++t, y += channels) {
    const int start = t * pool->stride - pool->padding;
    const int first = start < 0 ? 0 : start;
    const int last = start + pool->taps < pool->length ? start + pool->taps : pool->length;
    for (int c = 0; c < channels; ++c) {
      const int32_t count = last - first;
      int32_t sum = -128 * count;
      for (int k = first; k < last; ++k) sum += x[k * channels + c];
      sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
      y[c] = (uint8_t)clamp(sum + 128, pool->least, pool->most);
    }
  }
}
/*= mean clamp rescale */
struct mean {
  int length, channels;
  int32_t zero, out_zero, multiplier;
  int shift;
};
static void mean_of(const struct mean *mean, const uint8_t *x, uint8_t *y) {
  enum { BLOCK = 16 };
  const int channels = mean->channels;
  for (int block = 0; block < channels; block += BLOCK) {
    const int count = channels - block < BLOCK ? channels - block : BLOCK;
    int32_t sums[BLOCK];
    for (int c = 0; c < count; ++c) sums[c] = -mean->zero * mean->length;
    for (int t = 0; t < mean->length; ++t)
      for (int c = 0; c < count; ++c) sums[c] += x[t * channels + block + c];
    for (int c = 0; c < count; ++c)
      y[block + c] = (uint8_t)clamp(rescale(sums[c], mean->multiplier, mean->shift) + mean->out_zero, 0, 255);
  }
}
/*= pair */
struct pair {
  int count, period; /* values of a, and of b, which is repeated */
  uint8_t zero_a, zero_b, out_zero, least, most;
  int8_t shift_a, shift_b, shift;
  int32_t multiplier_a, multiplier_b, multiplier;
};
/*= add clamp rescale pair vectors */
#ifdef ECGEDGE_VECTORS
/* 16 values of one side of a sum, of which each shift is to the right, or none where the multiplier is a half. */
ECGEDGE_INLINE __m512i side(const uint8_t *x, int32_t zero, int32_t multiplier, int shift) {
  const __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)x));
  const __m512i value = _mm512_sub_epi32(v, _mm512_set1_epi32(zero)), right = _mm512_set1_epi32(-shift);
  if (shift == 0) return _mm512_slli_epi32(value, 19);
  const __m512i m = _mm512_set1_epi32(multiplier);
  return shifted(high_of(_mm512_slli_epi32(value, 20), m, m), right, plus_of(right, 0));
}
#endif
/* The sum of both; a multiplier of b below zero makes it the difference. */
static void add(const struct pair *pair, const uint8_t *a, const uint8_t *b, uint8_t *y) {
  const struct pair p = *pair;
  const int32_t sign = p.multiplier_b < 0 ? -1 : 1, multiplier_b = sign * p.multiplier_b;
#ifdef ECGEDGE_VECTORS
  const int32_t half = (int32_t)1 << 30;
  if (p.period % 64 == 0 && sign > 0 && p.shift < 0 && p.shift > -23 && (p.shift_a < 0 || p.multiplier_a == half) &&
      (p.shift_b < 0 || p.multiplier_b == half)) {
    const __m512i least = _mm512_set1_epi8((char)p.least), most = _mm512_set1_epi8((char)p.most);
    const __m512i multiplier = _mm512_set1_epi32(p.multiplier), right = _mm512_set1_epi32(-p.shift);
    const __m512i plus = plus_of(right, p.out_zero);
    for (int i = 0; i < p.count; i += p.period)
      for (int j = 0; j < p.period; j += 64) {
        __m512i z[4];
        for (int g = 0; g < 4; ++g) {
          z[g] = _mm512_add_epi32(side(a + i + j + 16 * g, p.zero_a, p.multiplier_a, p.shift_a),
                                  side(b + j + 16 * g, p.zero_b, p.multiplier_b, p.shift_b));
          z[g] = shifted(high_of(z[g], multiplier, multiplier), right, plus);
        }
        _mm512_storeu_si512(y + i + j, bytes_of(z[0], z[1], z[2], z[3], least, most));
      }
    return;
  }
#endif
  for (int i = 0; i < p.count; i += p.period)
    for (int j = 0; j < p.period; ++j) {
      const int32_t one = rescale((a[i + j] - p.zero_a) * (1 << 20), p.multiplier_a, p.shift_a);
      const int32_t two = sign * rescale((b[j] - p.zero_b) * (1 << 20), multiplier_b, p.shift_b);
      y[i + j] = (uint8_t)clamp(rescale(one + two, p.multiplier, p.shift) + p.out_zero, p.least, p.most);
    }
}
/*= multiply clamp rescale pair */
static void multiply(const struct pair *pair, const uint8_t *a, const uint8_t *b, uint8_t *y) {
  const struct pair p = *pair;
  for (int i = 0; i < p.count; i += p.period)
    for (int j = 0; j < p.period; ++j) {
      const int32_t product = (a[i + j] - p.zero_a) * (b[j] - p.zero_b);
      y[i + j] = (uint8_t)clamp(rescale(product, p.multiplier, p.shift) + p.out_zero, p.least, p.most);
    }
}
/*= look_up */
/* An operation on single values: its answer to each of the 256 that there are. */
static void look_up(const uint8_t *table, int count, const uint8_t *x, uint8_t *y) {
  for (int i = 0; i < count; ++i) y[i] = table[x[i]];
}
/*= rows */
/* Copies rows of so many bytes; ahead of what is read later, so both may overlap. */
static void rows(int count, const void *x, int pitch, void *y, int out_pitch, int bytes) {
  for (int r = 0; r < count; ++r)
    memmove((char *)y + r * out_pitch, (const char *)x + r * pitch, (size_t)bytes);
}
/*= join */
/* Rows of several tensors, one after another. */
static void join(int count, int parts, const void *const *x, const int *bytes, void *y) {
  char *out = (char *)y;
  for (int r = 0; r < count; ++r)
    for (int i = 0; i < parts; out += bytes[i++])
      memmove(out, (const char *)x[i] + r * bytes[i], (size_t)bytes[i]);
}
/*= pad */
/* One row after so many bytes of value, and so many before more of them. */
static void pad(int before, int bytes, int after, int value, const uint8_t *x, uint8_t *y) {
  memmove(y + before, x, (size_t)bytes);
  memset(y, value, (size_t)before);
  memset(y + before + bytes, value, (size_t)after);
}
/*= transpose */
static void transpose(int count, int width, const uint8_t *x, uint8_t *y) {
  for (int c = 0; c < width; ++c)
    for (int r = 0; r < count; ++r) *y++ = x[r * width + c];
}
/*= take_float */
static void take_float(int count, const float *x, float *y) { memcpy(y, x, (size_t)count * sizeof *y); }
/*= give_float */
static void give_float(int count, const float *x, float *y) { memcpy(y, x, (size_t)count * sizeof *y); }
/*= limit */
static inline float limit(float value, float least, float most) {
  return value < least ? least : value > most ? most : value;
}
/*= float_layer */
#ifndef ECGEDGE_BLOCK
#define ECGEDGE_BLOCK 16 /* channels whose sums are kept on the stack */
#endif
struct layer {
  const float *weights, *bias;
  float least, most;
  int length, stride, dilation, padding, out_length, channels;
};
/*= conv_float float_layer limit */
/* Convolution over ${inputs} channels with ${taps} taps; weights lie (tap, input, channel). */
static void ${name}(const struct layer *layer, const float *x, float *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps} };
  const int channels = layer->channels;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
    for (int block = 0; block < channels; block += ECGEDGE_BLOCK) {
      const int count = channels - block < ECGEDGE_BLOCK ? channels - block : ECGEDGE_BLOCK;
      float sums[ECGEDGE_BLOCK];
      for (int o = 0; o < count; ++o) sums[o] = 0;
      for (int k = 0; k < TAPS; ++k) {
        const int at = start + k * layer->dilation;
        if (at < 0 || at >= layer->length) continue;
        for (int i = 0; i < INPUTS; ++i) {
          const float value = x[at * INPUTS + i];
          const float *w = layer->weights + (k * INPUTS + i) * channels + block;
          for (int o = 0; o < count; ++o) sums[o] += value * w[o];
        }
      }
      for (int o = 0; o < count; ++o)
        y[block + o] = limit(sums[o] + layer->bias[block + o], layer->least, layer->most);
    }
  }
}
/*= depthwise_float float_layer limit */
/* Depthwise convolution with ${taps} taps, ${each} channels of output for each of input; weights lie (tap, channel). */
static void ${name}(const struct layer *layer, const float *x, float *y) {
  enum { TAPS = ${taps}, EACH = ${each} };
  const int channels = layer->channels, inputs = channels / EACH;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
    for (int c = 0; c < channels; ++c) {
      float sum = 0;
      for (int k = 0; k < TAPS; ++k) {
        const int at = start + k * layer->dilation;
        if (at >= 0 && at < layer->length) sum += x[at * inputs + c / EACH] * layer->weights[k * channels + c];
      }
      y[c] = limit(sum + layer->bias[c], layer->least, layer->most);
    }
  }
}
/*= float_pool */
struct pool {
  int length, channels, taps, stride, padding, out_length;
  float least, most;
};
/*= max_pool_float limit float_pool */
static void max_pool_float(const struct pool *pool, const float *x, float *y) {
  const int channels = pool->channels;
  for (int t = 0; t < pool->out_length; ++t, y += channels) {
    const int start = t * pool->stride - pool->padding;
    const int first = start < 0 ? 0 : start;
    const int last = start + pool->taps < pool->length ? start + pool->taps : pool->length;
    for (int c = 0; c < channels; ++c) {
      float most = x[first * channels + c];
      for (int k = first + 1; k < last; ++k) most = x[k * channels + c] > most ? x[k * channels + c] : most;
      y[c] = limit(most, pool->least, pool->most);
    }
  }
}
/*= average_pool_float limit float_pool */
static void average_pool_float(const struct pool *pool, const float *x, float *y) {
  const int channels = pool->channels;
  for (int t = 0; t < pool->out_length; ++t, y += channels) {
    const int start = t * pool->stride - pool->padding;
    const int first = start < 0 ? 0 : start;
    const int last = start + pool->taps < pool->length ? start + pool->taps : pool->length;
    for (int c = 0; c < channels; ++c) {
      float sum = 0;
      for (int k = first; k < last; ++k) sum += x[k * channels + c];
      y[c] = limit(sum / (float)(last - first), pool->least, pool->most);
    }
  }
}
/*= mean_float */
struct mean {
  int length, channels;
};
static void mean_float(const struct mean *mean, const float *x, float *y) {
  const int channels = mean->channels;
  for (int c = 0; c < channels; ++c) {
    float sum = 0;
    for (int t = 0; t < mean->length; ++t) sum += x[t * channels + c];
    y[c] = sum / (float)mean->length;
  }
}
/*= float_pair */
struct pair {
  int count, period; /* values of a, and of b, which is repeated */
  float least, most;
};
/*= add_float limit float_pair */
static void add_float(const struct pair *pair, const float *a, const float *b, float *y) {
  for (int i = 0; i < pair->count; i += pair->period)
    for (int j = 0; j < pair->period; ++j) y[i + j] = limit(a[i + j] + b[j], pair->least, pair->most);
}
/*= subtract_float limit float_pair */
static void subtract_float(const struct pair *pair, const float *a, const float *b, float *y) {
  for (int i = 0; i < pair->count; i += pair->period)
    for (int j = 0; j < pair->period; ++j) y[i + j] = limit(a[i + j] - b[j], pair->least, pair->most);
}
/*= multiply_float limit float_pair */
static void multiply_float(const struct pair *pair, const float *a, const float *b, float *y) {
  for (int i = 0; i < pair->count; i += pair->period)
    for (int j = 0; j < pair->period; ++j) y[i + j] = limit(a[i + j] * b[j], pair->least, pair->most);
}
/*= limit_float limit */
static void limit_float(int count, float least, float most, const float *x, float *y) {
  for (int i = 0; i < count; ++i) y[i] = limit(x[i], least, most);
}
/*= pad_float */
static void pad_float(int before, int count, int after, float value, const float *x, float *y) {
  memmove(y + before, x, (size_t)count * sizeof *y);
  for (int i = 0; i < before; ++i) y[i] = value;
  for (int i = 0; i < after; ++i) y[before + count + i] = value;
}
/*= transpose_float */
static void transpose_float(int count, int width, const float *x, float *y) {
  for (int c = 0; c < width; ++c)
    for (int r = 0; r < count; ++r) *y++ = x[r * width + c];
}
