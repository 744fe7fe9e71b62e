/* CMSIS-NN's headers include it, and its functions that are called here use nothing of it. */
