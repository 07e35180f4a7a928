-- A registration that is sent again, because nobody saw its answer, makes no second endpoint: a merchant's endpoints have
-- different URLs. Where some have the same, which one is in use is not ours to guess: delete the others, then migrate.
-- depends: 0003_webhook_endpoints

CREATE UNIQUE INDEX webhook_endpoint_by_url ON webhook_endpoint (merchant_id, url) WHERE state <> 'deleted';
