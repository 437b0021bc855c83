"""Codes of 1 to 8 bits, laid side by side in bytes without a gap.

Two orders are in use. ``"little"`` puts the first code into the lowest bits of the first byte: ONNX, torchao.
``"big"`` puts it into the highest bits: bitsandbytes. A width that does not divide 8 makes a code straddle two
bytes; the codes then form one bit stream, in the same order. No header, no alignment: the reader has to know the
width, the order, the sign and the count.

How it is fast: ``g`` codes fill ``k`` whole bytes (``g=2, k=1`` for 4 bits, ``g=8, k=3`` for 3 bits). A group is one
integer of ``8*g`` bits, a lane. Its halves are pulled apart, then the halves of the halves, until every code sits in
a byte of its own: ``log2(g)`` rounds of shifts and masks, each on whole lanes at once. Packing runs it backwards.
"""

import numpy as np

ORDERS = ("little", "big")

# Bytes of unpacked codes worked on at a time: all rounds stay in the second-level cache.
CHUNK = 256 * 1024


def pack(q, *, n_bits: int, order: str = "little") -> np.ndarray:
    """Pack integers into bytes, `n_bits` each.

    Element ``i`` takes the bits ``i*n_bits`` to ``(i+1)*n_bits - 1`` of the stream. Bit ``j`` of the stream is bit
    ``j % 8`` of byte ``j // 8``, counted from the lowest (``"little"``) or from the highest (``"big"``); the code's own
    bits run in the same direction.

    Parameters
    ----------
    q : array of integers, any shape
        Flattened in C order. Either all in ``0..2**n_bits - 1``, or all in ``-2**(n_bits-1)..2**(n_bits-1) - 1``;
        negative values are stored in two's complement.
    n_bits : int
        1 to 8.
    order : {"little", "big"}
        Where the first code goes.

    Returns
    -------
    array of uint8, shape (ceil(q.size * n_bits / 8),)
        Bits behind the last code are 0.

    Raises
    ------
    TypeError
        If `q` does not hold integers.
    ValueError
        If a value does not fit into `n_bits`, or `n_bits` or `order` is unknown. Nothing is wrapped in silence:
        `wrap` does it when you mean it.

    Examples
    --------
    >>> [f"{byte:08b}" for byte in pack([1, -2, 7], n_bits=4)]
    ['11100001', '00000111']
    >>> [f"{byte:08b}" for byte in pack([1, -2, 7], n_bits=4, order="big")]
    ['00011110', '01110000']
    >>> [f"{byte:08b}" for byte in pack([1, 2, 7], n_bits=3)]
    ['11010001', '00000001']
    """
    q = _integers(q, "q").reshape(-1)
    _check(n_bits, order)
    lo, hi = (int(q.min()), int(q.max())) if q.size else (0, 0)
    half = 1 << (n_bits - 1)
    if lo < -half or hi >= (half if lo < 0 else 2 * half):
        raise ValueError(
            f"q holds {lo}..{hi}, but {n_bits} bits hold 0..{2 * half - 1} or {-half}..{half - 1}; "
            "clip or quantize first, or wrap(q, n_bits=..., signed=...) to keep the low bits"
        )
    g, k = _group(n_bits)
    packed = np.empty((-(-q.size // g), k), np.uint8)
    per_chunk = CHUNK // g
    for start in range(0, len(packed), per_chunk):
        rows = packed[start : start + per_chunk]
        codes = np.zeros(len(rows) * g, np.uint8)
        part = q[start * g : (start + per_chunk) * g]
        codes[: part.size] = part.astype(np.uint8)  # two's complement: the low 8 bits
        _gather(codes.view(f"<u{g}"), rows, n_bits, order)
    return packed.reshape(-1)[: -(-q.size * n_bits // 8)]


def unpack(packed, *, n_bits: int, count: int, signed: bool, order: str = "little") -> np.ndarray:
    """Unpack `count` integers of `n_bits` each: the inverse of `pack`.

    Parameters
    ----------
    packed : array of uint8, shape (ceil(count * n_bits / 8),)
        The bytes. Bits behind the last code are not looked at.
    n_bits : int
        1 to 8.
    count : int
        How many codes to return. The bytes alone do not tell: one byte may hold one 4-bit code or two.
    signed : bool
        Read the codes as two's complement.
    order : {"little", "big"}
        Where the first code is.

    Returns
    -------
    array of int8 (signed) or uint8 (not signed), shape (count,)

    Raises
    ------
    TypeError
        If `packed` is not uint8.
    ValueError
        If the number of bytes does not belong to `count` codes, or `n_bits` or `order` is unknown.

    Examples
    --------
    >>> packed = pack([1, -2, 7], n_bits=4)
    >>> unpack(packed, n_bits=4, count=3, signed=True)
    array([ 1, -2,  7], dtype=int8)
    >>> unpack(packed, n_bits=4, count=3, signed=False)
    array([ 1, 14,  7], dtype=uint8)
    """
    packed = np.asarray(packed)
    if packed.dtype != np.uint8:
        raise TypeError(f"packed has dtype {packed.dtype}; pass bytes as uint8 (np.frombuffer(data, np.uint8))")
    _check(n_bits, order)
    if count < 0:
        raise ValueError(f"count={count} is negative; pass the number of codes")
    packed = packed.reshape(-1)
    if packed.size != -(-count * n_bits // 8):
        raise ValueError(
            f"packed holds {packed.size} bytes, but count={count} codes of n_bits={n_bits} take "
            f"{-(-count * n_bits // 8)}; pass the count that was packed"
        )
    g, k = _group(n_bits)
    lanes = np.empty(-(-count // g), f"<u{g}")
    codes = lanes.view(np.int8 if signed else np.uint8)
    whole = packed.size // k
    rows = packed[: whole * k].reshape(whole, k)
    per_chunk = CHUNK // g
    for start in range(0, whole, per_chunk):
        part = slice(start, min(start + per_chunk, whole))
        _spread(rows[part], lanes[part], n_bits, order, signed)
    if whole < len(lanes):  # the last group is cut off: fill it up with zero bytes
        last = np.zeros((1, k), np.uint8)
        last[0, : packed.size - whole * k] = packed[whole * k :]
        _spread(last, lanes[whole:], n_bits, order, signed)
    return codes[:count]


def wrap(q, *, n_bits: int, signed: bool) -> np.ndarray:
    """Keep the low `n_bits` bits of integers: what overflow does in C, numpy and ml_dtypes.

        ``q mod 2**n_bits``, and minus ``2**n_bits`` where that is ``>= 2**(n_bits-1)`` and `signed`

    Parameters
    ----------
    q : array of integers, any shape
    n_bits : int
        1 to 8.
    signed : bool
        Read the bits that are kept as two's complement.

    Returns
    -------
    array of int8 (signed) or uint8 (not signed), same shape

    Raises
    ------
    TypeError
        If `q` does not hold integers.
    ValueError
        If `n_bits` is not 1 to 8.

    Examples
    --------
    >>> wrap([7, 8, -9], n_bits=4, signed=True)
    array([ 7, -8,  7], dtype=int8)
    """
    q = _integers(q, "q")
    _check(n_bits, "little")
    codes = q.astype(np.uint8) & np.uint8((1 << n_bits) - 1)
    return _extend_sign(codes.view(np.int8), n_bits) if signed else codes


def _integers(q, name: str) -> np.ndarray:
    q = np.asarray(q)
    if q.size == 0 and q.dtype == np.float64:  # np.asarray([]) knows no better
        return q.astype(np.int64)
    if q.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {q.dtype}, expected integers; round first: np.rint({name}).astype(np.int32)")
    return q


def _check(n_bits: int, order: str) -> None:
    if n_bits not in range(1, 9):
        raise ValueError(f"n_bits={n_bits} is not 1 to 8; wider codes are arrays of int16 or int32 already")
    if order not in ORDERS:
        raise ValueError(f"order={order!r} is unknown; choose 'little' (first code in the low bits) or 'big'")


def _group(n_bits: int) -> tuple[int, int]:
    """How many codes `g` fill how many whole bytes `k`; `g` is a power of two, the bytes of a lane."""
    g = 8 // n_bits if 8 % n_bits == 0 else 8
    return g, g * n_bits // 8


def _halvings(g: int, n_bits: int) -> list[tuple[int, int, int]]:
    """(packed, spread, mask) of each round that pulls a field of 2w codes apart into two fields of w codes.

    The upper field starts at bit `packed` before the round and at bit `spread` after it; `mask` selects the lower one.
    """
    rounds = []
    w = g // 2
    while w:
        field = (1 << w * n_bits) - 1
        rounds.append((w * n_bits, w * 8, sum(field << period for period in range(0, 8 * g, 16 * w))))
        w //= 2
    return rounds


def _spread(rows: np.ndarray, lanes: np.ndarray, n_bits: int, order: str, signed: bool) -> None:
    """Fill `lanes` (m,) with the codes of `rows` (m, k), one code a byte."""
    g, k = _group(n_bits)
    lanes[...] = rows[:, 0]
    lane_bytes = lanes.view(np.uint8).reshape(-1, g)
    for byte in range(1, k):  # a column at a time: numpy is slow on rows of 3 to 7 bytes
        lane_bytes[:, byte] = rows[:, byte]
    if order == "big" and k > 1:  # a big stream is a big-endian number, and it ends at the lowest bit
        lanes.byteswap(inplace=True)
        lanes >>= 8 * (g - k)
    upper = np.empty_like(lanes)
    for packed, spread, mask in _halvings(g, n_bits):
        if order == "little":
            np.left_shift(lanes, spread - packed, out=upper)
            here, there = mask, mask << spread
        else:  # the first code is the highest: swap the halves on the way
            np.right_shift(lanes, packed, out=upper)
            lanes <<= spread
            here, there = mask << spread, mask
        if n_bits > 4:  # else the rest of one half does not reach the other's place, and one mask at the end will do
            upper &= there
            lanes &= here
        lanes |= upper
        lanes &= here | there
    if signed:
        _extend_sign(lanes.view(np.int8), n_bits)


def _gather(lanes: np.ndarray, rows: np.ndarray, n_bits: int, order: str) -> None:
    """Fill `rows` (m, k) with the codes of `lanes` (m,), which holds one code a byte and is overwritten."""
    g, k = _group(n_bits)
    upper = np.empty_like(lanes)
    for packed, spread, mask in reversed(_halvings(g, n_bits)):
        if order == "little":
            np.right_shift(lanes, spread - packed, out=upper)
            upper &= mask << packed
            lanes &= mask
        else:
            np.right_shift(lanes, spread, out=upper)
            upper &= mask
            lanes &= mask
            lanes <<= packed
        lanes |= upper
    if order == "big" and k > 1:
        lanes <<= 8 * (g - k)
        lanes.byteswap(inplace=True)
    lane_bytes = lanes.view(np.uint8).reshape(-1, g)
    for byte in range(k):
        rows[:, byte] = lane_bytes[:, byte]


def _extend_sign(codes: np.ndarray, n_bits: int) -> np.ndarray:
    """Turn int8 codes ``0..2**n_bits - 1`` into two's complement, in place: flip the sign bit, then take it away."""
    if n_bits < 8:
        sign = np.int8(1 << (n_bits - 1))
        codes ^= sign
        codes -= sign
    return codes
