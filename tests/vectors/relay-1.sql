-- The tables of the relay's first release, as they stand in the wild.
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    relay_secret BLOB NOT NULL,
    store_id BLOB NOT NULL
  ) STRICT;
  CREATE TABLE space (
    id INTEGER PRIMARY KEY,
    space_id BLOB NOT NULL UNIQUE,
    genesis BLOB NOT NULL,
    revision INTEGER NOT NULL,
    head INTEGER NOT NULL,
    chain BLOB NOT NULL,
    counted_bytes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE log (
    space INTEGER NOT NULL REFERENCES space (id),
    pos INTEGER NOT NULL,
    is_control INTEGER NOT NULL,
    doc_id BLOB NOT NULL,
    entry_kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    item_id BLOB NOT NULL,
    chain BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (space, pos)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX log_item ON log (space, item_id);
  CREATE INDEX log_control ON log (space, pos) WHERE is_control = 1;
  CREATE TABLE certificate (
    space INTEGER NOT NULL REFERENCES space (id),
    dev_pub BLOB NOT NULL,
    cap_pub BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (space, dev_pub, cap_pub)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE counter (
    space INTEGER NOT NULL REFERENCES space (id),
    dev_pub BLOB NOT NULL,
    ctr INTEGER NOT NULL,
    PRIMARY KEY (space, dev_pub)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = 1;
