-- A store as version 6 of the schema has it.
CREATE TABLE volume_daemon_schema (
  id tinyint(4) NOT NULL,
  version int(10) unsigned NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;
INSERT INTO volume_daemon_schema VALUES (1, 6);
CREATE TABLE device_mappings (
  id varchar(64) NOT NULL,
  volume_id varchar(64) NOT NULL,
  volume_uuid varchar(64) DEFAULT NULL,
  vm_id varchar(64) DEFAULT NULL,
  device_path varchar(255) DEFAULT NULL,
  by_id_path varchar(1024) DEFAULT NULL,
  persistent_device_name varchar(255) DEFAULT NULL,
  symlink_path varchar(1024) DEFAULT NULL,
  cloudstack_device_id bigint(20) DEFAULT NULL,
  cloudstack_state varchar(64) DEFAULT NULL,
  linux_state varchar(64) DEFAULT NULL,
  size bigint(20) NOT NULL DEFAULT 0,
  matched_by varchar(32) NOT NULL DEFAULT 'none',
  operation_mode varchar(32) DEFAULT NULL,
  filesystem varchar(255) DEFAULT NULL,
  label varchar(1024) DEFAULT NULL,
  filesystem_uuid varchar(255) DEFAULT NULL,
  partition_table varchar(64) DEFAULT NULL,
  last_sync datetime(3) DEFAULT NULL,
  attached_at datetime(3) DEFAULT NULL,
  created_at datetime(3) DEFAULT NULL,
  updated_at datetime(3) DEFAULT NULL,
  diskseq bigint(20) NOT NULL DEFAULT 0,
  boot_id varchar(64) DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY unique_volume_id (volume_id),
  UNIQUE KEY unique_device_path (vm_id, device_path)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE volume_operations (
  id varchar(64) NOT NULL,
  type varchar(32) NOT NULL,
  status varchar(32) NOT NULL,
  volume_id varchar(64) NOT NULL DEFAULT '',
  vm_id varchar(64) DEFAULT NULL,
  request longtext DEFAULT NULL CHECK (json_valid(request)),
  request_id varchar(255) DEFAULT NULL,
  response longtext DEFAULT NULL CHECK (json_valid(response)),
  error text DEFAULT NULL,
  error_code varchar(64) DEFAULT NULL,
  step varchar(64) DEFAULT NULL,
  needs_attention tinyint(1) NOT NULL DEFAULT 0,
  created_at datetime(3) DEFAULT NULL,
  updated_at datetime(3) DEFAULT NULL,
  completed_at datetime(3) DEFAULT NULL,
  context longtext DEFAULT NULL CHECK (json_valid(context)),
  error_details longtext DEFAULT NULL CHECK (json_valid(error_details)),
  undoing tinyint(1) NOT NULL DEFAULT 0,
  step_since datetime(3) DEFAULT NULL,
  error_reason varchar(64) DEFAULT NULL,
  PRIMARY KEY (id),
  KEY volume_operations_volume_id (volume_id, created_at, id),
  KEY volume_operations_vm_id (vm_id, created_at, id),
  KEY volume_operations_status (status, created_at, id),
  KEY volume_operations_type (type, created_at, id),
  KEY volume_operations_created_at (created_at, id),
  KEY volume_operations_request_id (request_id, created_at, id),
  KEY volume_operations_needs_attention (needs_attention, created_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE volume_operation_history (
  id varchar(64) NOT NULL,
  operation_id varchar(64) NOT NULL,
  previous_status varchar(32) DEFAULT NULL,
  new_status varchar(32) NOT NULL,
  changed_at datetime(3) DEFAULT NULL,
  details longtext DEFAULT NULL CHECK (json_valid(details)),
  PRIMARY KEY (id),
  KEY volume_operation_history_operation_id (operation_id, id),
  CONSTRAINT volume_operation_history_operation FOREIGN KEY (operation_id) REFERENCES volume_operations (id)
    ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE device_names (
  id varchar(64) NOT NULL,
  volume_id varchar(64) NOT NULL,
  name varchar(64) NOT NULL,
  created_at datetime(3) DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY unique_volume_id (volume_id),
  UNIQUE KEY unique_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE nbd_exports (
  id varchar(64) NOT NULL,
  volume_id varchar(64) NOT NULL,
  export_name varchar(255) NOT NULL,
  device_path varchar(255) DEFAULT NULL,
  port bigint(20) NOT NULL DEFAULT 0,
  status varchar(32) NOT NULL DEFAULT 'pending',
  read_only tinyint(1) NOT NULL DEFAULT 0,
  size bigint(20) NOT NULL DEFAULT 0,
  vm_name varchar(255) DEFAULT NULL,
  vm_id varchar(64) DEFAULT NULL,
  disk_number bigint(20) DEFAULT NULL,
  error text DEFAULT NULL,
  metadata longtext DEFAULT NULL CHECK (json_valid(metadata)),
  created_at datetime(3) DEFAULT NULL,
  updated_at datetime(3) DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY unique_volume_id (volume_id),
  UNIQUE KEY unique_export_name (export_name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE volume_daemon_lease (
  lane tinyint(3) unsigned NOT NULL,
  holder char(36) NOT NULL DEFAULT '',
  writes bigint(20) unsigned NOT NULL DEFAULT 0,
  server varchar(512) NOT NULL DEFAULT '',
  PRIMARY KEY (lane)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE tracked_snapshots (
  id varchar(64) NOT NULL,
  vm_context_id varchar(64) NOT NULL DEFAULT '',
  snapshot_id varchar(191) DEFAULT NULL,
  snapshot_name varchar(255) DEFAULT NULL,
  snapshot_status varchar(50) NOT NULL DEFAULT 'none',
  disk_id varchar(255) DEFAULT NULL,
  snapshot_created_at datetime(3) DEFAULT NULL,
  updated_at datetime(3) DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE volume_daemon_marks (
  id varchar(64) NOT NULL,
  value varchar(255) NOT NULL DEFAULT '',
  updated_at datetime(3) DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO volume_operations (id, type, status, volume_id, request, created_at, updated_at, completed_at) VALUES
  ('op-1', 'attach', 'completed', 'v1', '{"vm_id":"m"}', '2026-11-22 21:50:03.123', '2026-11-22 21:50:04.123',
   '2026-11-22 21:50:04.123'),
  ('op-2', 'detach', 'executing', 'v2', '{}', '2026-11-22 21:50:05.123', '2026-11-22 21:50:05.123', NULL);
INSERT INTO device_mappings (id, volume_id, vm_id, device_path, size, matched_by, created_at) VALUES
  ('m-1', 'v1', 'm', '/dev/vdb', 1073741824, 'identity', '2026-11-22 21:50:04.123');
INSERT INTO volume_operation_history VALUES
  ('h-1', 'op-1', NULL, 'pending', '2026-11-22 21:50:03.123', NULL),
  ('h-2', 'op-1', 'pending', 'completed', '2026-11-22 21:50:04.123', '{"step":"publish"}');
