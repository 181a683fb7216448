import type { Migration } from "./migrate.ts";

/*
 * All tables. Rules: identifiers are blobs; blobs that may be long stand last, since SQLite reads a row from its start;
 * every index costs a sealed page per commit, so there are few. Hashes are random, so an index over them touches as many
 * pages as it has new rows: `hash_prefix`, their first 6 bytes, makes those pages few; whoever uses it compares the hash.
 */
export const migrations: readonly Migration[] = [
  (sqlite) =>
    sqlite.script(`
CREATE TABLE change (
  id INTEGER PRIMARY KEY, doc BLOB NOT NULL, hash BLOB NOT NULL, hash_prefix INTEGER NOT NULL, actor BLOB NOT NULL,
  seq INTEGER NOT NULL, op_count INTEGER NOT NULL, space BLOB, pos INTEGER, signer BLOB, local INTEGER NOT NULL,
  at INTEGER NOT NULL, length INTEGER NOT NULL, deps BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX change_by_hash ON change (hash_prefix);
CREATE INDEX change_by_actor ON change (doc, actor, seq);

CREATE TABLE snapshot (
  id INTEGER PRIMARY KEY, doc BLOB NOT NULL, key TEXT NOT NULL, removed INTEGER NOT NULL, at INTEGER NOT NULL,
  sha256 BLOB NOT NULL, heads BLOB NOT NULL, bytes BLOB NOT NULL, UNIQUE (doc, key));

CREATE TABLE pending (
  change_id INTEGER PRIMARY KEY REFERENCES change (id) ON DELETE CASCADE, space BLOB NOT NULL, entry_id BLOB,
  doc BLOB NOT NULL, hash BLOB NOT NULL);
CREATE TABLE sealed (
  space BLOB NOT NULL, ctr INTEGER NOT NULL, entry_id BLOB NOT NULL, doc BLOB NOT NULL, hashes BLOB NOT NULL,
  bytes BLOB NOT NULL, PRIMARY KEY (space, ctr));
CREATE TABLE relayed (
  id INTEGER PRIMARY KEY, space BLOB NOT NULL, pos INTEGER NOT NULL, entry_id BLOB NOT NULL, doc BLOB NOT NULL,
  ctr INTEGER NOT NULL, UNIQUE (space, entry_id));
CREATE INDEX relayed_by_document ON relayed (doc, pos);
CREATE TABLE counter (space BLOB PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE cursor (space BLOB PRIMARY KEY, pos INTEGER NOT NULL, chain BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE chain_tag (
  space BLOB NOT NULL, pos INTEGER NOT NULL, chain BLOB NOT NULL, PRIMARY KEY (space, pos)) WITHOUT ROWID;
CREATE TABLE frontier (
  space BLOB NOT NULL, dev BLOB NOT NULL, pos INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (space, dev)) WITHOUT ROWID;
CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY, space BLOB, pos INTEGER, doc BLOB, entry_id BLOB, reason TEXT NOT NULL, signer BLOB,
  at INTEGER NOT NULL, bytes BLOB NOT NULL);

CREATE TABLE space (
  id BLOB PRIMARY KEY, kind TEXT NOT NULL, genesis BLOB NOT NULL, cap_secret BLOB, role TEXT NOT NULL,
  state TEXT NOT NULL, relay_url TEXT, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE control (
  space BLOB NOT NULL, seq INTEGER NOT NULL, pos INTEGER, hash BLOB NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (space, seq));
CREATE TABLE cert (
  space BLOB NOT NULL, dev BLOB NOT NULL, cap BLOB NOT NULL, pushed INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (space, dev, cap)) WITHOUT ROWID;
CREATE TABLE epoch_key (
  space BLOB NOT NULL, key_commit BLOB NOT NULL, epoch INTEGER NOT NULL, key BLOB NOT NULL,
  PRIMARY KEY (space, key_commit)) WITHOUT ROWID;

CREATE TABLE document (doc BLOB PRIMARY KEY, space BLOB NOT NULL, kind TEXT NOT NULL, origin BLOB) WITHOUT ROWID;
CREATE TABLE head (
  doc BLOB NOT NULL, actor BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, nonce BLOB NOT NULL,
  dev BLOB NOT NULL, sig BLOB NOT NULL, PRIMARY KEY (doc, actor, seq)) WITHOUT ROWID;
CREATE TABLE actor (
  doc BLOB NOT NULL, actor BLOB NOT NULL, nonce BLOB NOT NULL, session TEXT NOT NULL,
  PRIMARY KEY (doc, actor)) WITHOUT ROWID;
CREATE TABLE draft (
  doc BLOB NOT NULL, session TEXT NOT NULL, actor BLOB NOT NULL, heads BLOB NOT NULL, at INTEGER NOT NULL,
  edits TEXT NOT NULL, PRIMARY KEY (doc, session)) WITHOUT ROWID;

CREATE TABLE note (
  doc BLOB PRIMARY KEY, space BLOB NOT NULL, title TEXT NOT NULL, preview TEXT NOT NULL, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, trashed_at INTEGER, moved_to BLOB, listed INTEGER NOT NULL,
  stale INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX note_by_time ON note (updated_at);

CREATE TABLE setting (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE key_value (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL);
CREATE TABLE sync_log (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
`),
  (sqlite) => {
    // What is derived from a note remembers for which version; personal marks come from the vault.
    sqlite.script(`
ALTER TABLE note ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE note ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
CREATE TABLE pin (doc BLOB PRIMARY KEY) WITHOUT ROWID;
`);
    // Snapshots that stand for journalled changes, and what the journal must still answer about those.
    sqlite.script(`
CREATE TABLE pack (
  doc BLOB PRIMARY KEY, snapshot TEXT NOT NULL, through INTEGER NOT NULL, kept INTEGER NOT NULL,
  waiting INTEGER NOT NULL, changes INTEGER NOT NULL, pos INTEGER, resend INTEGER NOT NULL,
  heads BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE packed (
  id INTEGER PRIMARY KEY, doc BLOB NOT NULL, actor BLOB NOT NULL, seq INTEGER NOT NULL, space BLOB, signer BLOB,
  local INTEGER NOT NULL, hashes BLOB NOT NULL);
CREATE UNIQUE INDEX packed_by_actor ON packed (doc, actor, seq);
`);
    // What makes something new is not made twice when its caller asks again.
    sqlite.script(`
CREATE TABLE answer (call TEXT PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
`);
    // Since when notes lie in the trash, and which were deleted from this device for ever.
    sqlite.script(`
CREATE TABLE trashed (doc BLOB PRIMARY KEY, mark INTEGER NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE purged (doc BLOB PRIMARY KEY, space BLOB NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
`);
    // Spaces of which a relay lost something that this device sees to, also after a restart.
    sqlite.script(`
CREATE TABLE loss (
  space BLOB PRIMARY KEY, since INTEGER NOT NULL, due INTEGER, returned INTEGER NOT NULL,
  made_good INTEGER NOT NULL) WITHOUT ROWID;
`);
    // Counts and times of synchronising, for its panel.
    sqlite.script(`
CREATE TABLE metric (name TEXT PRIMARY KEY, count INTEGER NOT NULL, buckets TEXT NOT NULL) WITHOUT ROWID;
`);
    // Bodies that the relay holds and this device does not, lists of documents that are being read, and cards.
    sqlite.script(`
CREATE TABLE awaited (
  doc BLOB NOT NULL, pos INTEGER NOT NULL, space BLOB NOT NULL, entry_id BLOB, listed INTEGER NOT NULL, PRIMARY KEY (doc, pos)) WITHOUT ROWID;
CREATE TABLE listing (space BLOB PRIMARY KEY, after BLOB, held_up_to INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE card (doc BLOB PRIMARY KEY, pos INTEGER NOT NULL) WITHOUT ROWID;
`);
    // Changes that nothing can be done with, and how far documents were loaded without trouble.
    sqlite.script(`
CREATE TABLE refused (doc BLOB NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (doc, hash)) WITHOUT ROWID;
CREATE TABLE trial (doc BLOB PRIMARY KEY, row INTEGER NOT NULL, trying BLOB) WITHOUT ROWID;
`);
    // What proves that somebody told two stories, and which changes are missing between those that came.
    sqlite.script(`
CREATE TABLE evidence (
  id INTEGER PRIMARY KEY, space BLOB NOT NULL, what TEXT NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE missing_change (
  doc BLOB NOT NULL, hash BLOB NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (doc, hash)) WITHOUT ROWID;
`);
    // Versions that met without knowing each other, to be looked at; and the passages that both had changed.
    sqlite.script(`
CREATE TABLE merge (id INTEGER PRIMARY KEY, doc BLOB NOT NULL, stood BLOB NOT NULL, came BLOB NOT NULL);
CREATE TABLE conflict (
  id BLOB PRIMARY KEY, doc BLOB NOT NULL, field TEXT NOT NULL, line INTEGER NOT NULL, dev BLOB, at INTEGER NOT NULL,
  reviewed INTEGER NOT NULL, times INTEGER NOT NULL, base_heads BLOB NOT NULL, our_heads BLOB NOT NULL,
  their_heads BLOB NOT NULL, base TEXT NOT NULL, ours TEXT NOT NULL, theirs TEXT NOT NULL);
`);
    // Notebooks that have another space for their new home, and how far what was written in the old one went along.
    sqlite.script(`
CREATE TABLE home (space BLOB PRIMARY KEY, successor BLOB NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE carried (doc BLOB PRIMARY KEY, old BLOB NOT NULL, now BLOB NOT NULL) WITHOUT ROWID;
`);
    // Snapshots on their way to the relay, chunks on their way from it, and what documents have grown there since.
    sqlite.script(`
CREATE TABLE outgoing_snapshot (
  doc BLOB PRIMARY KEY, space BLOB NOT NULL, covers INTEGER NOT NULL, chain BLOB NOT NULL, uploaded INTEGER NOT NULL,
  entry_id BLOB, blob BLOB, blob_key BLOB, omitted BLOB NOT NULL, heads BLOB NOT NULL, changes BLOB NOT NULL,
  content BLOB NOT NULL);
CREATE TABLE blob_chunk (blob BLOB NOT NULL, ix INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (blob, ix));
CREATE TABLE tail (
  doc BLOB PRIMARY KEY, space BLOB NOT NULL, entries INTEGER NOT NULL, bytes INTEGER NOT NULL,
  snapshot_bytes INTEGER NOT NULL) WITHOUT ROWID;
`);
    // How far another device of this person has read each space, as the vault says.
    sqlite.script(`
CREATE TABLE space_witness (
  space BLOB PRIMARY KEY, pos INTEGER NOT NULL, at INTEGER NOT NULL, met INTEGER NOT NULL,
  chain_tag BLOB NOT NULL) WITHOUT ROWID;
`);
    // Snapshots by others that are to be compared with what is here, also after a restart.
    sqlite.script(`
CREATE TABLE passed_snapshot (
  doc BLOB PRIMARY KEY, space BLOB NOT NULL, covers INTEGER NOT NULL, due INTEGER NOT NULL,
  heads BLOB NOT NULL) WITHOUT ROWID;
`);
    // Which rows are to be derived anew is asked with every slice of that work: not by looking at all of ten thousand.
    sqlite.script(`
CREATE INDEX note_stale ON note (doc) WHERE stale = 1;
`);
  },
];
