/*
 * inference/local_quantize.h - 'infermesh-inference --quantize': a model file in, one with smaller weights out. A program of its own that 'infermesh
 * model quantize' starts, because llama.cpp's quantizer ends the process when it meets something it cannot do, and cannot be told to
 * stop. It writes to where it is told and never renames, replaces or removes a file: the caller does.
 *
 * It says on standard output, a line each:
 *
 *   before HEX           SHA-256 of the file it reads, once that was checked
 *   tensor DONE ALL      it begins with number DONE
 *   after HEX            SHA-256 of what it wrote, read back and checked: the last line when it went well
 *   error TEXT           the last line when it did not
 */
#ifndef INFERENCE_LOCAL_QUANTIZE_H
#define INFERENCE_LOCAL_QUANTIZE_H

/* What weights can become: name, and llama.cpp's name. Those that need a matrix of importance to be of
 * any use are left out. */
#define QUANTIZE_TYPES(X)                                                                          \
	X("f32", ALL_F32)                                                                          \
	X("f16", MOSTLY_F16)                                                                       \
	X("bf16", MOSTLY_BF16)                                                                     \
	X("q8_0", MOSTLY_Q8_0)                                                                     \
	X("q6_k", MOSTLY_Q6_K)                                                                     \
	X("q5_k_m", MOSTLY_Q5_K_M)                                                                 \
	X("q5_k_s", MOSTLY_Q5_K_S)                                                                 \
	X("q5_1", MOSTLY_Q5_1)                                                                     \
	X("q5_0", MOSTLY_Q5_0)                                                                     \
	X("q4_k_m", MOSTLY_Q4_K_M)                                                                 \
	X("q4_k_s", MOSTLY_Q4_K_S)                                                                 \
	X("q4_1", MOSTLY_Q4_1)                                                                     \
	X("q4_0", MOSTLY_Q4_0)                                                                     \
	X("iq4_nl", MOSTLY_IQ4_NL)                                                                 \
	X("iq4_xs", MOSTLY_IQ4_XS)                                                                 \
	X("q3_k_l", MOSTLY_Q3_K_L)                                                                 \
	X("q3_k_m", MOSTLY_Q3_K_M)                                                                 \
	X("q3_k_s", MOSTLY_Q3_K_S)                                                                 \
	X("q2_k", MOSTLY_Q2_K)

#define QUANTIZE_THREADS_MAX 1024

/** The whole main(): argv is program, "--quantize", TYPE, "once" or "again" (also weights that are quantised already), THREADS (0: one for
 *  each processor), IN, OUT. Returns the exit status: 0, 1, or 2 for other arguments. */
int quantize_main(int argc, char **argv);

#endif
