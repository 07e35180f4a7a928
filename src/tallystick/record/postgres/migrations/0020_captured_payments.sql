-- Captured payments are listed without reading those in other states: a merchant whose cards were tested has many of
-- these. Together with payment_by_rare_state each payment is in one index by state.
-- depends: 0013_late_money_counted

CREATE INDEX payment_captured ON payment (merchant_id, payment_id) WHERE state = 'captured';
