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
  int pitch; /* from a row of the output to the next one, in values */
};
/*= conv_float float_layer limit */
/* Convolution over ${inputs} channels with ${taps} taps; weights lie (tap, input, channel). */
static void ${name}(const struct layer *layer, const float *x, float *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps} };
  const int channels = layer->channels;
  for (int t = 0; t < layer->out_length; ++t, y += layer->pitch) {
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
  for (int t = 0; t < layer->out_length; ++t, y += layer->pitch) {
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
  int pitch; /* from a row of the output to the next one, in values */
  float least, most;
};
/*= max_pool_float limit float_pool */
static void max_pool_float(const struct pool *pool, const float *x, float *y) {
  const int channels = pool->channels;
  for (int t = 0; t < pool->out_length; ++t, y += pool->pitch) {
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
  for (int t = 0; t < pool->out_length; ++t, y += pool->pitch) {
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
