-- A store as version 6 of the schema has it.
CREATE TABLE volume_operations (
  id TEXT NOT NULL PRIMARY KEY,
  type TEXT NOT NULL,
  status TEXT NOT NULL,
  volume_id TEXT NOT NULL DEFAULT '',
  vm_id TEXT,
  request TEXT,
  request_id TEXT,
  response TEXT,
  error TEXT,
  error_code TEXT,
  step TEXT,
  needs_attention INTEGER NOT NULL DEFAULT 0,
  created_at TEXT,
  updated_at TEXT,
  completed_at TEXT,
  context TEXT,
  error_details TEXT,
  undoing INTEGER NOT NULL DEFAULT 0,
  step_since TEXT
, error_reason TEXT) STRICT;
CREATE INDEX volume_operations_volume_id ON volume_operations (volume_id, created_at, id);
CREATE INDEX volume_operations_vm_id ON volume_operations (vm_id, created_at, id);
CREATE INDEX volume_operations_status ON volume_operations (status, created_at, id);
CREATE INDEX volume_operations_type ON volume_operations (type, created_at, id);
CREATE INDEX volume_operations_created_at ON volume_operations (created_at, id);
CREATE INDEX volume_operations_request_id ON volume_operations (request_id, created_at, id)
  WHERE request_id IS NOT NULL;
CREATE INDEX volume_operations_needs_attention ON volume_operations (needs_attention, created_at, id);

CREATE TABLE device_mappings (
  id TEXT NOT NULL PRIMARY KEY,
  volume_id TEXT NOT NULL,
  volume_uuid TEXT,
  vm_id TEXT,
  device_path TEXT,
  by_id_path TEXT,
  persistent_device_name TEXT,
  symlink_path TEXT,
  cloudstack_device_id INTEGER,
  cloudstack_state TEXT,
  linux_state TEXT,
  size INTEGER NOT NULL DEFAULT 0,
  matched_by TEXT NOT NULL,
  operation_mode TEXT,
  filesystem TEXT,
  label TEXT,
  filesystem_uuid TEXT,
  partition_table TEXT,
  last_sync TEXT,
  attached_at TEXT,
  created_at TEXT,
  updated_at TEXT,
  diskseq INTEGER NOT NULL DEFAULT 0,
  boot_id TEXT,
  CONSTRAINT unique_volume_id UNIQUE (volume_id),
  CONSTRAINT unique_device_path UNIQUE (vm_id, device_path)
) STRICT;

CREATE TABLE volume_operation_history (
  id TEXT NOT NULL PRIMARY KEY,
  operation_id TEXT NOT NULL REFERENCES volume_operations (id) ON DELETE CASCADE,
  previous_status TEXT,
  new_status TEXT NOT NULL,
  changed_at TEXT NOT NULL,
  details TEXT
) STRICT;
CREATE INDEX volume_operation_history_operation_id ON volume_operation_history (operation_id, id);

CREATE TABLE device_names (
  id TEXT NOT NULL PRIMARY KEY,
  volume_id TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at TEXT,
  CONSTRAINT unique_volume_id UNIQUE (volume_id),
  CONSTRAINT unique_name UNIQUE (name)
) STRICT;

CREATE TABLE nbd_exports (
  id TEXT NOT NULL PRIMARY KEY,
  volume_id TEXT NOT NULL,
  export_name TEXT NOT NULL,
  device_path TEXT,
  port INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL,
  read_only INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL DEFAULT 0,
  vm_name TEXT,
  vm_id TEXT,
  disk_number INTEGER,
  error TEXT,
  metadata TEXT,
  created_at TEXT,
  updated_at TEXT,
  CONSTRAINT unique_volume_id UNIQUE (volume_id),
  CONSTRAINT unique_export_name UNIQUE (export_name)
) STRICT;

CREATE TABLE volume_daemon_marks (
  id TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  updated_at TEXT
) STRICT;

CREATE TABLE tracked_snapshots (
  id TEXT NOT NULL PRIMARY KEY,
  vm_context_id TEXT NOT NULL,
  snapshot_id TEXT,
  snapshot_name TEXT,
  snapshot_status TEXT NOT NULL,
  disk_id TEXT,
  snapshot_created_at TEXT,
  updated_at TEXT
) STRICT;

INSERT INTO volume_operations (id, type, status, volume_id, request, created_at, updated_at, completed_at) VALUES
  ('op-1', 'attach', 'completed', 'v1', '{"vm_id":"m"}', '2026-11-22 21:50:03.123', '2026-11-22 21:50:04.123',
   '2026-11-22 21:50:04.123'),
  ('op-2', 'detach', 'executing', 'v2', '{}', '2026-11-22 21:50:05.123', '2026-11-22 21:50:05.123', NULL);
INSERT INTO device_mappings (id, volume_id, vm_id, device_path, size, matched_by, created_at) VALUES
  ('m-1', 'v1', 'm', '/dev/vdb', 1073741824, 'identity', '2026-11-22 21:50:04.123');
INSERT INTO volume_operation_history VALUES
  ('h-1', 'op-1', NULL, 'pending', '2026-11-22 21:50:03.123', NULL),
  ('h-2', 'op-1', 'pending', 'completed', '2026-11-22 21:50:04.123', '{"step":"publish"}');
PRAGMA user_version = 6;
