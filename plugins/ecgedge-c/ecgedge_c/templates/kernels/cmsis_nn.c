/*= products layer */
#ifdef ECGEDGE_CMSIS_NN
#include "arm_nnfunctions.h"
enum { TOGETHER = 4 }; /* samples that CMSIS-NN is handed at once */
/* Some samples of a convolution, each of which has the length of its taps as int8 in columns, by CMSIS-NN. Its sums are
   of values with 128 added, as the bias has them; its answers are copied, as y may be written in rows that lie apart. */
static void products(const struct layer *layer, const int8_t *columns, int length, int rows, uint8_t *y) {
  int8_t found[TOGETHER * ECGEDGE_BLOCK];
  for (int block = 0; block < layer->channels; block += ECGEDGE_BLOCK) {
    const int count = layer->channels - block < ECGEDGE_BLOCK ? layer->channels - block : ECGEDGE_BLOCK;
    const cmsis_nn_context none = {NULL, 0};
    const cmsis_nn_dims in = {1, 1, rows, length}, filter = {count, 1, 1, length}, bias = {1, 1, 1, count};
    const cmsis_nn_dims out = {1, 1, rows, count};
    cmsis_nn_per_channel_quant_params factors;
    cmsis_nn_conv_params params;
    memset(&params, 0, sizeof params);
    params.input_offset = 128, params.output_offset = layer->out_zero - 128;
    params.stride.w = params.stride.h = params.dilation.w = params.dilation.h = 1;
    params.activation.min = layer->least - 128, params.activation.max = layer->most - 128;
    factors.multiplier = (int32_t *)(uintptr_t)(layer->multiplier + block); /* which it only reads */
    factors.shift = (int32_t *)(uintptr_t)(layer->shift + block);
    arm_convolve_1x1_s8_fast(&none, &params, &factors, &in, columns, &filter, layer->weights + block * length, &bias,
                             layer->bias + block, &out, found);
    for (int r = 0; r < rows; ++r)
      for (int o = 0; o < count; ++o) y[r * layer->pitch + block + o] = (uint8_t)(found[r * count + o] + 128);
  }
}
#endif
/*= conv_by_cmsis_nn products */
/* Convolution over ${inputs} channels with ${taps} taps by CMSIS-NN; weights lie (channel, tap, input). */
static void ${name}(const struct layer *layer, const uint8_t *x, uint8_t *y) {
  enum { INPUTS = ${inputs}, TAPS = ${taps} };
  int8_t columns[TOGETHER * TAPS * INPUTS];
  for (int t = 0; t < layer->out_length; t += TOGETHER, y += TOGETHER * layer->pitch) {
    const int rows = layer->out_length - t < TOGETHER ? layer->out_length - t : TOGETHER;
    int8_t *to = columns;
    for (int r = 0; r < rows; ++r)
      for (int k = 0; k < TAPS; ++k, to += INPUTS) {
        const int at = (t + r) * layer->stride - layer->padding + k * layer->dilation;
        if (at < 0 || at >= layer->length)
          memset(to, layer->zero - 128, INPUTS);
        else
          for (int i = 0; i < INPUTS; ++i) to[i] = (int8_t)(x[at * INPUTS + i] - 128);
      }
    products(layer, columns, TAPS * INPUTS, rows, y);
  }
}
