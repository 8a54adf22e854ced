"""The SQL functions that questions of users and agents may call; everything else is refused.

Left out on purpose: what tells of the process, its files or its settings, what acts or waits, and
what makes much of little in one step that no time limit can cut (`repeat`, `lpad`, `list_resize`,
`format`, and `range` outside FROM).
"""

from __future__ import annotations

import re

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
"""What may stand in FROM beside the views; each hands its rows out piece by piece."""

_AGGREGATES = """
    any_value approx_count_distinct approx_quantile arbitrary arg_max arg_max_null arg_min
    arg_min_null argmax argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count
    count_if count_star countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean
    group_concat histogram json_group_array json_group_object kahan_sum kurtosis kurtosis_pop last
    list listagg mad max max_by mean median min min_by mode product quantile quantile_cont
    quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
    regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow
    sumkahan var_pop var_samp variance wavg weighted_avg
"""
_WINDOWS = """
    cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank
    rank_dense row_number
"""
_NUMBERS = """
    abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees
    divide even exp fdiv floor fmod gamma gcd greatest hash isfinite isinf isnan lcm least lgamma
    ln log log10 log2 mod multiply nextafter pi pow power radians random round round_even
    roundbankers sign signbit sin sinh sqrt subtract tan tanh trunc xor
"""
_TEXT = """
    ascii base64 char_length character_length chr concat concat_ws contains damerau_levenshtein
    editdist3 ends_with hamming hex ilike_escape instr jaccard jaro_similarity
    jaro_winkler_similarity lcase left len length levenshtein like_escape lower ltrim md5 mismatches
    nfc_normalize not_ilike_escape not_like_escape ord overlay position prefix regexp_escape
    regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array replace reverse right rtrim sha1 sha256 split split_part starts_with
    str_split string_split string_to_array strip_accents strlen strpos substr substring suffix
    to_base64 translate trim ucase unhex unicode upper formatreadablesize
    formatreadabledecimalsize format_bytes
"""
_TIMES = """
    age century current_date current_localtime current_localtimestamp current_timestamp date_add
    date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
    dayofmonth dayofweek dayofyear decade epoch epoch_ms epoch_ns epoch_us era get_current_time
    get_current_timestamp hour isodow isoyear julian last_day make_date make_time make_timestamp
    make_timestamp_ms microsecond millennium millisecond minute month monthname now quarter second
    strftime strptime time_bucket timezone to_centuries to_days to_decades to_hours to_microseconds
    to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks
    to_years today transaction_timestamp try_strptime week weekday weekofyear year yearweek
"""
_LISTS = """
    aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat
    array_contains array_distinct array_extract array_filter array_has array_has_all array_has_any
    array_indexof array_intersect array_length array_position array_prepend array_reverse
    array_reverse_sort array_select array_slice array_sort array_to_string array_transform
    array_unique array_value array_where array_zip cardinality element_at filter flatten
    grade_up json json_array json_array_length json_contains json_exists json_extract
    json_extract_path json_extract_path_text json_extract_string json_keys json_object json_pretty
    json_quote json_structure json_type json_valid json_value list_aggr list_aggregate
    list_any_value list_append list_apply list_avg list_cat list_concat list_contains list_count
    list_distinct list_element list_extract list_filter list_first list_grade_up list_has
    list_has_all list_has_any list_histogram list_indexof list_intersect list_last list_max
    list_median list_min list_mode list_pack list_position list_prepend list_product list_reduce
    list_reverse list_reverse_sort list_select list_slice list_sort list_stddev_pop
    list_stddev_samp list_string_agg list_sum list_transform list_unique list_value list_var_pop
    list_var_samp list_where list_zip map map_concat map_contains map_entries map_extract
    map_extract_value map_from_entries map_keys map_values reduce row row_to_json struct_extract
    struct_extract_at struct_insert struct_keys struct_pack struct_values to_json unnest
    unpivot_list
"""
_OTHERS = """
    __between __cast __postfix alias coalesce constant_or_null if ifnull nullif replace_type typeof
    uuid gen_random_uuid grouping grouping_id is_not_null isnull notnull
"""
FUNCTIONS = frozenset(
    " ".join([_AGGREGATES, _WINDOWS, _NUMBERS, _TEXT, _TIMES, _LISTS, _OTHERS]).split()
)
"""Names of the functions that may be called."""


def may_be_called(name: str) -> bool:
    """Whether a function is known here, or an operator such as `+` or `IS DISTINCT FROM`."""
    return name.lower() in FUNCTIONS or not re.search(r"[a-z_]", name)
