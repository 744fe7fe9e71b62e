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
