-- Dead letters are listed in the order of their arrival, page by page.
-- depends: 0007_streams

CREATE INDEX inbox_dead_by_arrival ON inbox (received_at, event_id) WHERE state = 'dead';
