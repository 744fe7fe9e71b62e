/*= vectors */
/* The same as the plain C beside them, 16 or 64 values at once, where the compiler is told of such a processor. */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && !defined(__cplusplus) && !defined(ECGEDGE_CMSIS_NN)
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
