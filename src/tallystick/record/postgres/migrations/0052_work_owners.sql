-- Who has a piece of work that waits for a person: a dead letter, an attempt in doubt, late money. Rejected cases and alerts
-- have their owners in rows of their own. A dead letter has no merchant before it is routed, so the piece is known by its
-- own id. It changes in place; each change is an act.
-- depends: 0048_settlements

CREATE TABLE work_owner (
    item_id text NOT NULL,
    list text NOT NULL,
    owner text NOT NULL,
    act_id text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (item_id, list)
);
CREATE INDEX work_owner_list ON work_owner (list, owner);

GRANT SELECT, INSERT, UPDATE, DELETE ON work_owner TO tallystick_app;
