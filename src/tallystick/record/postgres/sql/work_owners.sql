-- Who has what waits for a person, where the work's own row has no place for it.

-- owners: who has these of a list ($1: their ids, $2: the list)
SELECT item_id, owner FROM work_owner WHERE item_id = ANY ($1::text[]) AND list = $2;

-- owned: the ids of a list ($1) that somebody has; $2: the names of who, null is anybody
SELECT item_id FROM work_owner WHERE list = $1 AND ($2::text[] IS NULL OR owner = ANY ($2));

-- take: it is $3's, unless somebody else has it who is none of $6
INSERT INTO work_owner AS w (item_id, list, owner, act_id, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (item_id, list) DO UPDATE SET owner = excluded.owner, act_id = excluded.act_id WHERE w.owner = ANY ($6::text[])
RETURNING item_id;

-- hand_on: it is $3's, whoever has it
INSERT INTO work_owner AS w (item_id, list, owner, act_id, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (item_id, list) DO UPDATE SET owner = excluded.owner, act_id = excluded.act_id, since = excluded.since
RETURNING item_id;

-- give_back: it is nobody's again, if $3 has it
DELETE FROM work_owner WHERE item_id = $1 AND list = $2 AND owner = $3 RETURNING item_id;
