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
  int32_t zero, out_zero, least, most;
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
#if defined(__AVX512VNNI__)
#include <immintrin.h>
static inline void dots(const uint8_t *x, const int8_t *w, int n, int count, int32_t *sums) {
  if (count == 64) {
    __m512i a = _mm512_loadu_si512(sums), b = _mm512_loadu_si512(sums + 16);
    __m512i c = _mm512_loadu_si512(sums + 32), d = _mm512_loadu_si512(sums + 48);
    for (int i = 0; i < n; ++i, x += 4, w += 256) {
      int32_t four;
      memcpy(&four, x, 4);
      const __m512i v = _mm512_set1_epi32(four);
      a = _mm512_dpbusd_epi32(a, v, _mm512_loadu_si512(w));
      b = _mm512_dpbusd_epi32(b, v, _mm512_loadu_si512(w + 64));
      c = _mm512_dpbusd_epi32(c, v, _mm512_loadu_si512(w + 128));
      d = _mm512_dpbusd_epi32(d, v, _mm512_loadu_si512(w + 192));
    }
    _mm512_storeu_si512(sums, a);
    _mm512_storeu_si512(sums + 16, b);
    _mm512_storeu_si512(sums + 32, c);
    _mm512_storeu_si512(sums + 48, d);
    return;
  }
  for (int o = 0; o < count; o += 16) {
    const __mmask16 some = (__mmask16)(count - o >= 16 ? 0xffff : (1 << (count - o)) - 1);
    __m512i a = _mm512_maskz_loadu_epi32(some, sums + o), b = _mm512_setzero_si512();
    for (int i = 0; i < n; ++i) {
      int32_t four;
      memcpy(&four, x + 4 * i, 4);
      const __m512i v = _mm512_maskz_loadu_epi32(some, w + 4 * (i * count + o));
      if (i & 1)
        b = _mm512_dpbusd_epi32(b, _mm512_set1_epi32(four), v);
      else
        a = _mm512_dpbusd_epi32(a, _mm512_set1_epi32(four), v);
    }
    _mm512_mask_storeu_epi32(sums + o, some, _mm512_add_epi32(a, b));
  }
}
#else
static inline void dots(const uint8_t *x, const int8_t *w, int n, int count, int32_t *sums) {
  for (int i = 0; i < n; ++i, x += 4) {
    const int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
    for (int o = 0; o < count; ++o, w += 4) sums[o] += x0 * w[0] + x1 * w[1] + x2 * w[2] + x3 * w[3];
  }
}
#endif
/*= outside */
/* The same of taps that lie outside: all their values are the zero point. */
static inline void outside(int32_t zero, const int8_t *w, int n, int count, int32_t *sums) {
  for (int i = 0; i < n; ++i)
    for (int o = 0; o < count; ++o, w += 4) sums[o] += zero * (w[0] + w[1] + w[2] + w[3]);
}
/*= conv dots finish outside */
/* Convolution over ${inputs} channels with ${taps} taps; weights lie (block of channels, tap, four inputs, channel, 4). */
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps}, FOURS = INPUTS / 4 };
  const int channels = layer->channels, dilation = layer->dilation, length = layer->length;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
    for (int block = 0; block < channels; block += ECGEDGE_BLOCK) {
      const int count = channels - block < ECGEDGE_BLOCK ? channels - block : ECGEDGE_BLOCK;
      const int8_t *w = layer->weights + block * INPUTS * TAPS;
      int32_t sums[ECGEDGE_BLOCK];
      memcpy(sums, layer->bias + block, (size_t)count * sizeof *sums);
      if (dilation == 1 && start >= 0 && start + TAPS <= length) {
        dots(x + start * INPUTS, w, TAPS * FOURS, count, sums);
      } else {
        for (int k = 0; k < TAPS; ++k, w += INPUTS * count) {
          const int at = start + k * dilation;
          if (at >= 0 && at < length)
            dots(x + at * INPUTS, w, FOURS, count, sums);
          else
            outside(layer->zero, w, FOURS, count, sums);
        }
      }
      finish(layer, block, count, sums, y + block);
    }
  }
}
/*= conv_few finish */
/* Convolution over ${inputs} channels with ${taps} taps: few products each, so the channels are what is done at once;
   weights lie (tap, input, channel). */
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps} };
  const int channels = layer->channels;
  for (int t = 0; t < layer->out_length; ++t, y += channels) {
    const int start = t * layer->stride - layer->padding;
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
static void mean(const struct mean *mean, const uint8_t *x, uint8_t *y) {
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
  int32_t zero_a, zero_b, out_zero, multiplier_a, multiplier_b, multiplier;
  int shift_a, shift_b, shift;
  int32_t least, most;
};
/*= add clamp rescale pair */
/* The sum of both; a multiplier of b below zero makes it the difference. */
static void add(const struct pair *pair, const uint8_t *a, const uint8_t *b, uint8_t *y) {
  const struct pair p = *pair;
  const int32_t sign = p.multiplier_b < 0 ? -1 : 1, multiplier_b = sign * p.multiplier_b;
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
