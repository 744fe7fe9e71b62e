/*= pool */
struct pool {
  int length, channels, taps, stride, padding, out_length;
  int pitch; /* from a row of the output to the next one, in values */
  int32_t least, most;
};
/*= max_pool clamp pool */
static void max_pool(const struct pool *pool, const uint8_t *x, uint8_t *y) {
  const int channels = pool->channels;
  for (int t = 0; t < pool->out_length; ++t, y += pool->pitch) {
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
  for (int t = 0; t < pool->out_length; ++t, y += pool->pitch) {
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
