"""Arithmetic: quotients and averages of exact numbers. DuckDB divides in DOUBLE; these divide in 128-bit integers.

Where 128 bits do not suffice it is an error, never a rounded answer. Each list_transform over one element gives a name
to what is used several times: a macro would repeat it, and its repetitions.
"""

MACROS = """
CREATE MACRO manybase_parts(a, b) AS list_transform(
  [{'a': CAST(a AS VARCHAR), 'b': CAST(b AS VARCHAR)}],
  lambda x: CASE WHEN x.a IS NULL OR x.b IS NULL THEN NULL ELSE {
    'negative': starts_with(x.a, '-') <> starts_with(x.b, '-'),
    'a': CAST(replace(ltrim(x.a, '-'), '.', '') AS HUGEINT), 'scale_a': length(split_part(x.a, '.', 2)),
    'b': CAST(replace(ltrim(x.b, '-'), '.', '') AS HUGEINT), 'scale_b': length(split_part(x.b, '.', 2))
  } END);
-- PostgreSQL counts in digits of base 10,000: how many there are before the point, and what the first one is.
CREATE MACRO manybase_weights(parts) AS list_transform(list_transform(
  list_transform(parts, lambda x: {'x': x, 'a': CAST(x.a AS VARCHAR), 'b': CAST(x.b AS VARCHAR)}),
  lambda y: {'x': y.x, 'a': y.a, 'b': y.b,
    'weight_a': CASE WHEN y.x.a = 0 THEN 0 ELSE CAST(floor((length(y.a) - y.x.scale_a - 1) / 4) AS BIGINT) END,
    'weight_b': CASE WHEN y.x.b = 0 THEN 0 ELSE CAST(floor((length(y.b) - y.x.scale_b - 1) / 4) AS BIGINT) END}),
  lambda z: {'negative': z.x.negative, 'a': z.x.a, 'scale_a': z.x.scale_a, 'b': z.x.b, 'scale_b': z.x.scale_b,
    'digits': greatest(16 - 4 * (z.weight_a - z.weight_b - CASE WHEN
      CAST(rpad(z.a, CAST(greatest(length(z.a) - z.x.scale_a - 4 * z.weight_a, 1) AS INTEGER), '0') AS BIGINT)
      <= CAST(rpad(z.b, CAST(greatest(length(z.b) - z.x.scale_b - 4 * z.weight_b, 1) AS INTEGER), '0') AS BIGINT)
      THEN 1 ELSE 0 END), z.x.scale_a, z.x.scale_b)});
CREATE MACRO manybase_tenfold(parts) AS list_transform(parts,
  lambda x: {'negative': x.negative, 'a': x.a, 'b': x.b, 'digits': x.digits,
    'ten': CAST('1' || repeat('0', x.digits + x.scale_b - x.scale_a) AS HUGEINT)});
CREATE MACRO manybase_quotient(parts) AS CAST(list_transform(list_transform(manybase_tenfold(parts),
  lambda x: {'sign': CASE WHEN x.negative THEN '-' ELSE '' END, 'digits': x.digits,
    'q': CAST((x.a // x.b) * x.ten + (2 * (x.a % x.b) * x.ten + x.b) // (2 * x.b) AS VARCHAR)}),
  lambda x: CASE WHEN length(x.q) > x.digits
    THEN x.sign || left(x.q, length(x.q) - x.digits) || '.' || right(x.q, x.digits)
    ELSE x.sign || '0.' || lpad(x.q, CAST(x.digits AS INTEGER), '0') END)[1] AS DECIMAL(38, 20));
CREATE MACRO manybase_divide_significant(a, b) AS manybase_quotient(manybase_weights(manybase_parts(a, b)));
CREATE MACRO manybase_divide_scale(a, b) AS manybase_quotient(list_transform(manybase_parts(a, b),
  lambda x: {'negative': x.negative, 'a': x.a, 'scale_a': x.scale_a, 'b': x.b, 'scale_b': x.scale_b,
    'digits': x.scale_a + 4}));
CREATE MACRO manybase_nonzero(x) AS CASE WHEN x = 0 THEN error('division by zero') ELSE x END;
"""
