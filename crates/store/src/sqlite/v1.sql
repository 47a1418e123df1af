-- Schema 1. Times are milliseconds since the epoch, versions the store's counter.
-- Columns of type ANY hold either the bytes themselves or the id of a row of `blobs`.

CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    -- 1 in a backup: who opens it as a store begins above the clock.
    is_copy INTEGER NOT NULL DEFAULT 0,
    key_check BLOB NOT NULL
) STRICT;

CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid BLOB NOT NULL,
    version INTEGER NOT NULL,
    meta BLOB NOT NULL,
    body ANY NOT NULL,
    status BLOB NOT NULL,
    managed ANY NOT NULL,
    node TEXT,
    UNIQUE (kind, namespace, name)
) STRICT;

CREATE TABLE releases (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid BLOB NOT NULL,
    version INTEGER NOT NULL,
    meta BLOB NOT NULL,
    body BLOB NOT NULL,
    status BLOB NOT NULL,
    managed BLOB NOT NULL,
    source TEXT NOT NULL,
    about TEXT NOT NULL,
    time INTEGER NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE INDEX releases_by_time ON releases (time, version);
CREATE INDEX releases_by_source ON releases (source, time, version);

CREATE TABLE drifts (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid BLOB NOT NULL,
    version INTEGER NOT NULL,
    meta BLOB NOT NULL,
    body BLOB NOT NULL,
    status BLOB NOT NULL,
    managed BLOB NOT NULL,
    source TEXT NOT NULL,
    about TEXT NOT NULL,
    time INTEGER NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE INDEX drifts_by_time ON drifts (time, version);
CREATE INDEX drifts_by_source ON drifts (source, time, version);
CREATE INDEX drifts_by_object ON drifts (about, time, version);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid BLOB NOT NULL,
    version INTEGER NOT NULL,
    meta BLOB NOT NULL,
    body BLOB NOT NULL,
    status BLOB NOT NULL,
    managed BLOB NOT NULL,
    source TEXT NOT NULL,
    about TEXT NOT NULL,
    time INTEGER NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE INDEX events_by_time ON events (time, version);
CREATE INDEX events_by_object ON events (about, time, version);

CREATE TABLE contents (
    digest BLOB PRIMARY KEY,
    secret INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

-- A document of a Secret lies encrypted, under a keyed digest.
CREATE TABLE docs (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    key TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    -- All NULL until it is sealed.
    source TEXT,
    revision TEXT,
    docs INTEGER,
    remarks BLOB
) STRICT;

CREATE TABLE snapshot_docs (
    snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    doc INTEGER NOT NULL REFERENCES docs (id) DEFERRABLE INITIALLY DEFERRED,
    -- Where it stands and what it mentions, which its digest leaves out.
    place BLOB NOT NULL,
    PRIMARY KEY (snapshot, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_docs_by_doc ON snapshot_docs (doc);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
