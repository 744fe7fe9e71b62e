/*= layer */
#define ECGEDGE_BLOCK 64 /* channels whose sums are kept on the stack, and whose weights lie together */
#ifdef ECGEDGE_CMSIS_NN
typedef int32_t shift_type; /* as it wants them */
#else
typedef int8_t shift_type;
#endif
struct layer {
  const int8_t *weights;
  const int32_t *bias; /* less the input's zero point times all weights of the channel */
  const int32_t *multiplier;
  const shift_type *shift;
  uint8_t zero, out_zero, least, most;
  int length, stride, dilation, padding, out_length, channels;
  int pitch; /* from a row of the output to the next one, in values */
};
/*= finish clamp rescale layer */
static inline void finish(const struct layer *layer, int block, int count, const int32_t *sums, uint8_t *y) {
  const int32_t *multiplier = layer->multiplier + block;
  const shift_type *shift = layer->shift + block;
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
/*= conv dots finish outside tile */
/* Convolution over ${inputs} channels with ${taps} taps; weights lie (block of channels, tap, four inputs, channel, 4). */
#ifdef ECGEDGE_VECTORS
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps}, FOURS = INPUTS / 4 };
  const int channels = layer->channels, at_once = channels <= KEPT ? ROWS : 1;
  uint8_t nothing[INPUTS], kept[ROWS * KEPT];
  const uint8_t *taps[TAPS * ROWS];
  memset(nothing, layer->zero, sizeof nothing);
  for (int t = 0; t < layer->out_length; t += at_once, y += at_once * layer->pitch) {
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
    for (int r = 0; at_once > 1 && r < rows; ++r)
      memcpy(y + r * layer->pitch, kept + r * channels, (size_t)channels);
  }
}
#else
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps}, FOURS = INPUTS / 4 };
  const int channels = layer->channels, dilation = layer->dilation, length = layer->length;
  for (int t = 0; t < layer->out_length; ++t, y += layer->pitch) {
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
  for (int t = 0; t < layer->out_length; ++t, y += layer->pitch) {
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
  const shift_type *shift = layer->shift;
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
  for (int t = 0; t < layer->out_length; ++t, y += layer->pitch) {
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
