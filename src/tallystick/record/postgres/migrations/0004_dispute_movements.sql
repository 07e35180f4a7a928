-- What a provider named of the money that it moved for a dispute, and whether it has given both verdicts.
-- depends: 0003_webhook_endpoints

ALTER TABLE dispute ADD COLUMN movements json NOT NULL DEFAULT '[]';
ALTER TABLE dispute ADD COLUMN contested boolean NOT NULL DEFAULT false;
