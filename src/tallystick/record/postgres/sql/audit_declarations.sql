-- restores: declared restores in their order
SELECT number, document, signature, declared_at FROM audit_restore ORDER BY number;

-- insert_restore: the next declared restore
INSERT INTO audit_restore (number, document, signature, declared_at)
SELECT coalesce(max(number), 0) + 1, $1::text, $2::bytea, $3::timestamptz FROM audit_restore;

-- rotations: changes of the signing key in their order
SELECT number, document, old_signature, new_signature, rotated_at FROM audit_key_rotation ORDER BY number;

-- insert_rotation: the next change of the signing key
INSERT INTO audit_key_rotation (number, document, old_signature, new_signature, rotated_at)
SELECT coalesce(max(number), 0) + 1, $1::text, $2::bytea, $3::bytea, $4::timestamptz FROM audit_key_rotation;
