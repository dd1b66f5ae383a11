/** Whether the storage takes writes. */
export const ping = {
  name: "decnet-ping",
  text: "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_read_only",
};
/** Needs new room, unlike a row that fits into a page that is there, and leaves nothing. */
export const probe = {
  name: "decnet-probe",
  text: `CREATE TEMPORARY TABLE decnet_probe ON COMMIT DROP AS
    SELECT string_agg(md5(number::text), '') AS filler FROM generate_series(1, 4000) AS each (number)`,
};
