"""What packer and kernels agree on: the words of a step, of a forest and of a single row's context."""

(
    OPERATION,
    SOURCE,
    RIGHT,
    TARGET,
    COLUMNS,
    RIGHT_COLUMNS,
    TARGET_COLUMNS,
    KIND,
    DOUBLE,
    CONSTANTS,
    OTHERS,
    SUMS,
    WALKS,
    STEP_WORDS,
) = range(14)
"""Words of a step. Registers are offsets in bytes from the beginning of the scratch memory, as are `SUMS` and `WALKS`,
a forest's own memory; `CONSTANTS` and `OTHERS` are addresses. Rows of a register stand one behind the other, each with
one more column, which holds minus infinity."""

ARITHMETIC, COMBINE, CAST, CLIP, IMPUTE, NORMALIZE, TREES, LINEAR, FUNCTION, PAIR, COLUMNS_OF, COPY = range(12)
"""Operations. `COPY` writes its columns into others, from the one that `KIND` names on."""

CONSTANT_FIRST = 4
"""Added to an operator: the constant is the left operand."""

(
    NODES,
    SHIFT,
    WIDE,
    NAN_LOWER,
    ROOTS,
    TREE_COUNT,
    DEPTHS,
    SURE,
    GROUP_DEPTHS,
    GROUP_SURE,
    PAYLOAD,
    TREE_TARGETS,
    WEIGHTS,
    STARTS,
    TARGETS,
    BASE,
    AGGREGATE,
    FOREST_WORDS,
) = range(18)
"""Words of a forest: addresses of the arrays of its layout, where they are arrays, and 0 for an empty one."""

STEPS, STEP_COUNT, SCRATCH, FEATURES, CLASSES, RESULT, BLOCK_ROWS, CONTEXT_WORDS = range(8)
"""Words of a context: address and number of steps, address of the scratch memory (of a single row's), columns of rows
and answers, offset of the last register, and rows that go through the steps together."""

LANES = 8
"""Trees or rows that walk at once: as many as the registers of a processor hold, which hides the time of a miss."""

VALUE, DENSE, SPARSE = range(3)
"""What the payload of a leaf is: the value for one target, or the index of weights for all targets, or of a list."""

FIRST_INDEX = 0x00800000
"""The index 0 as a payload: the bits of the smallest normal float32, with which every comparison is ordered."""

COMPACT_WORDS, WIDE_WORDS = 2, 4
TO_LOWER, EQUAL = 1, 2
"""Bits in the last word of a wide node: NaN goes to the first of the nodes that follow; the test is for equality."""

WALK_WORDS = 3 * LANES
"""Words that walks need beside one a row."""
