-- SPDX-License-Identifier: LGPL-2.1-or-later
-- The tables that the earlier daemon itself brought along, before the hub's tables were joined to them: exports name
-- their volume by another column, and triggers keep exports in step with mappings.
-- A statement ends with ";" at the end of a line.

CREATE TABLE volume_operations (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  type ENUM('create', 'attach', 'detach', 'delete') NOT NULL,
  status ENUM('pending', 'executing', 'completed', 'failed', 'cancelled') NOT NULL DEFAULT 'pending',
  volume_id VARCHAR(64) NOT NULL,
  vm_id VARCHAR(64) NULL,
  request JSON NOT NULL,
  response JSON NULL,
  error TEXT NULL,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  completed_at TIMESTAMP NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE device_mappings (
  id VARCHAR(64) NOT NULL DEFAULT uuid() PRIMARY KEY,
  volume_uuid VARCHAR(64) NOT NULL,
  vm_id VARCHAR(64) NOT NULL,
  device_path VARCHAR(255) NOT NULL,
  cloudstack_state VARCHAR(32) NOT NULL,
  linux_state VARCHAR(32) NOT NULL,
  size BIGINT NOT NULL,
  last_sync TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY unique_volume_id (volume_uuid),
  UNIQUE KEY unique_device_path (device_path)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE nbd_exports (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  volume_uuid VARCHAR(64) NOT NULL,
  export_name VARCHAR(255) NOT NULL,
  device_path VARCHAR(255) NOT NULL,
  port INT NOT NULL DEFAULT 10809,
  status ENUM('pending', 'active', 'failed') NOT NULL DEFAULT 'pending',
  metadata JSON NULL,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY unique_export_name (export_name),
  CONSTRAINT fk_nbd_exports_mapping FOREIGN KEY (volume_uuid)
    REFERENCES device_mappings (volume_uuid) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TRIGGER exports_go_with_their_mapping BEFORE DELETE ON device_mappings FOR EACH ROW
  DELETE FROM nbd_exports WHERE volume_uuid = OLD.volume_uuid;

CREATE TRIGGER exports_follow_their_device AFTER UPDATE ON device_mappings FOR EACH ROW
  UPDATE nbd_exports SET device_path = NEW.device_path WHERE volume_uuid = NEW.volume_uuid;

INSERT INTO device_mappings (id, volume_uuid, vm_id, device_path, cloudstack_state, linux_state, size) VALUES
  ('m-1', '11111111-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000000', '/dev/vdb', 'attached',
   'detected', 1073741824),
  ('m-2', '11111111-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000000', '/dev/vdc', 'attached',
   'detected', 1073741824);

INSERT INTO nbd_exports (id, volume_uuid, export_name, device_path, status, metadata) VALUES
  ('nbd-export-1', '11111111-0000-4000-8000-000000000001', 'migration-vol-11111111-0000-4000-8000-000000000001',
   '/dev/vdb', 'active', '{"k":1}');

INSERT INTO volume_operations (id, type, status, volume_id, request) VALUES
  ('22222222-0000-4000-8000-000000000001', 'attach', 'completed', '11111111-0000-4000-8000-000000000001', '{}');
