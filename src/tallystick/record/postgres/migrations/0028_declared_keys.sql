-- API keys declare what they are, what they are for, and how much one operation may move. Null is what every key of
-- before declares: a service, for everything. The two columns of limits go together: a currency in which the key may act,
-- and the most that one operation may move in it, or null.
-- depends: 0026_api_versions

ALTER TABLE api_key ADD COLUMN kind text;
ALTER TABLE api_key ADD COLUMN scopes text[];
ALTER TABLE api_key ADD COLUMN limit_currencies text[];
ALTER TABLE api_key ADD COLUMN limit_amounts bigint[];
