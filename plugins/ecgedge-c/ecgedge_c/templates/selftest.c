/* Does ${name}_run answer here as TFLite's reference kernels did where it was exported? Returns 0 where it does. */
#include <stdio.h>

#include "model.h"

#define VECTORS ${vectors}

static const ${io} inputs[VECTORS][${upper}_INPUTS] = {
${inputs}
};
static const ${io} outputs[VECTORS][${upper}_OUTPUTS] = {
${outputs}
};

int main(void) {
  int wrong = 0;
  for (int i = 0; i < VECTORS; ++i) {
    ${io} found[${upper}_OUTPUTS];
    int differs = 0;
    ${name}_run(inputs[i], found);
    for (int o = 0; o < ${upper}_OUTPUTS; ++o) {
      ${difference}
    }
    wrong += differs;
  }
  printf("%d of %d beats as they have to be\n", VECTORS - wrong, VECTORS);
  return wrong != 0;
}
