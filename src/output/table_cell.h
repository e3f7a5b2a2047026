/* SPDX-License-Identifier: BSD-2-Clause */
/* Cells of tables for the terminal: right-aligned, with a space behind. */
#ifndef PTF_TABLE_CELL_H
#define PTF_TABLE_CELL_H

#include <stdint.h>
#include <stdio.h>

#include "output/output_text.h"

/* "1,234,567". cell is used and empty again. */
void ptf_cell_count(FILE *out, struct ptf_text *cell, uint64_t value, int width);

/* 9 wide: "34.1 ms", "-" when not known. */
void ptf_cell_time(FILE *out, struct ptf_text *cell, bool known, uint64_t ns);

/* 7 wide: " 12.34%". */
void ptf_cell_share(FILE *out, uint64_t value, uint64_t whole);

#endif
