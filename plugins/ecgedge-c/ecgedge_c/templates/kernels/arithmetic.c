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
