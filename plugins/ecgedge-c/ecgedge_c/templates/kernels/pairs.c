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
