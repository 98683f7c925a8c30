-- SPDX-License-Identifier: LGPL-2.1-or-later
-- The database that the earlier daemon and the hub share on an appliance: the tables of the daemon with the keys by
-- which the hub's rows own them, and as much of the hub's own tables as these keys and the daemon's look-ups need.
-- A statement ends with ";" at the end of a line.

CREATE TABLE vm_replication_contexts (
  context_id VARCHAR(64) NOT NULL DEFAULT uuid() PRIMARY KEY,
  vm_name VARCHAR(255) NOT NULL,
  current_status VARCHAR(32) NOT NULL DEFAULT 'discovered'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE replication_jobs (
  id VARCHAR(191) NOT NULL PRIMARY KEY,
  vm_context_id VARCHAR(64) NULL,
  status VARCHAR(191) NOT NULL DEFAULT 'pending',
  CONSTRAINT fk_replication_jobs_context FOREIGN KEY (vm_context_id)
    REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE ossea_configs (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(191) NOT NULL,
  api_url LONGTEXT NOT NULL,
  api_key LONGTEXT NOT NULL,
  secret_key LONGTEXT NOT NULL,
  zone LONGTEXT NOT NULL,
  domain LONGTEXT NULL,
  template_id LONGTEXT NULL,
  network_id LONGTEXT NULL,
  service_offering_id LONGTEXT NULL,
  disk_offering_id LONGTEXT NULL,
  oma_vm_id LONGTEXT NULL,
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  is_active TINYINT(1) DEFAULT 1,
  UNIQUE KEY uni_ossea_configs_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE ossea_volumes (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64) NULL,
  volume_id VARCHAR(191) NOT NULL,
  volume_name VARCHAR(255) NOT NULL DEFAULT '',
  size_gb BIGINT NOT NULL DEFAULT 0,
  ossea_config_id BIGINT NULL,
  volume_type VARCHAR(191) NULL,
  device_path VARCHAR(191) NULL,
  mount_point VARCHAR(191) NULL,
  status VARCHAR(191) NOT NULL DEFAULT 'creating',
  snapshot_id VARCHAR(191) NULL,
  snapshot_created_at TIMESTAMP NULL,
  snapshot_status VARCHAR(50) NULL DEFAULT 'none',
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  UNIQUE KEY uni_ossea_volumes_volume_id (volume_id),
  CONSTRAINT fk_ossea_volumes_context FOREIGN KEY (vm_context_id)
    REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE vm_disks (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  job_id VARCHAR(191) NULL,
  vm_context_id VARCHAR(64) NULL,
  ossea_volume_id BIGINT NULL,
  disk_id VARCHAR(191) NULL,
  size_gb BIGINT NOT NULL DEFAULT 0,
  CONSTRAINT fk_vm_disks_job FOREIGN KEY (job_id) REFERENCES replication_jobs (id) ON DELETE CASCADE,
  CONSTRAINT fk_vm_disks_volume FOREIGN KEY (ossea_volume_id) REFERENCES ossea_volumes (id) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE hub_events (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  what VARCHAR(255) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TRIGGER hub_notes_a_volume AFTER UPDATE ON ossea_volumes FOR EACH ROW
  INSERT INTO hub_events (what) VALUES (CONCAT(NEW.volume_id, ' ', NEW.status));

CREATE TABLE volume_operations (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  type ENUM('create', 'attach', 'detach', 'delete', 'cleanup') NOT NULL,
  status ENUM('pending', 'executing', 'completed', 'failed', 'cancelled') NOT NULL DEFAULT 'pending',
  volume_id VARCHAR(64) NOT NULL,
  vm_id VARCHAR(64) NULL,
  request LONGTEXT NOT NULL CHECK (json_valid(request)),
  response LONGTEXT NULL CHECK (json_valid(response)),
  error TEXT NULL,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  completed_at TIMESTAMP NULL,
  KEY idx_volume_id (volume_id),
  KEY idx_vm_id (vm_id),
  KEY idx_status (status),
  KEY idx_type (type),
  KEY idx_created_at (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE device_mappings (
  id VARCHAR(64) NOT NULL DEFAULT uuid() PRIMARY KEY,
  vm_context_id VARCHAR(64) NULL,
  volume_uuid VARCHAR(64) NOT NULL,
  volume_id_numeric BIGINT NULL,
  vm_id VARCHAR(64) NOT NULL,
  operation_mode ENUM('oma', 'failover') NOT NULL DEFAULT 'oma',
  cloudstack_device_id INT NULL,
  requires_device_correlation TINYINT(1) DEFAULT 1,
  device_path VARCHAR(255) NOT NULL,
  cloudstack_state VARCHAR(32) NOT NULL,
  linux_state VARCHAR(32) NOT NULL,
  size BIGINT NOT NULL,
  last_sync TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  ossea_snapshot_id VARCHAR(191) NULL,
  snapshot_created_at TIMESTAMP NULL,
  snapshot_status VARCHAR(50) NULL DEFAULT 'none',
  persistent_device_name VARCHAR(255) NULL,
  symlink_path VARCHAR(255) NULL,
  UNIQUE KEY volume_uuid (volume_uuid),
  UNIQUE KEY uq_device_mappings_volume_uuid (volume_uuid),
  UNIQUE KEY device_path (device_path),
  KEY idx_device_mappings_vm_id (vm_id),
  KEY idx_device_mappings_device_path (device_path),
  KEY idx_device_mappings_snapshot (vm_context_id, snapshot_status),
  CONSTRAINT fk_device_mappings_context FOREIGN KEY (vm_context_id)
    REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE nbd_exports (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  vm_context_id VARCHAR(64) NULL,
  job_id VARCHAR(191) NULL,
  volume_id VARCHAR(64) NOT NULL DEFAULT '',
  vm_disk_id BIGINT NULL,
  device_mapping_uuid VARCHAR(64) NULL,
  export_name VARCHAR(191) NOT NULL,
  port BIGINT NOT NULL,
  device_path LONGTEXT NOT NULL,
  config_path LONGTEXT NOT NULL,
  status VARCHAR(191) NOT NULL DEFAULT 'pending',
  created_at DATETIME(3) NULL,
  updated_at DATETIME(3) NULL,
  UNIQUE KEY uni_nbd_exports_export_name (export_name),
  KEY idx_nbd_exports_job_id (job_id),
  CONSTRAINT fk_nbd_exports_context FOREIGN KEY (vm_context_id)
    REFERENCES vm_replication_contexts (context_id) ON DELETE CASCADE,
  CONSTRAINT fk_nbd_exports_job FOREIGN KEY (job_id) REFERENCES replication_jobs (id) ON DELETE CASCADE,
  CONSTRAINT fk_nbd_exports_disk FOREIGN KEY (vm_disk_id) REFERENCES vm_disks (id) ON DELETE CASCADE,
  CONSTRAINT fk_nbd_exports_mapping FOREIGN KEY (device_mapping_uuid)
    REFERENCES device_mappings (volume_uuid) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE volume_operation_history (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  operation_id VARCHAR(64) NOT NULL,
  previous_status VARCHAR(32) NULL,
  new_status VARCHAR(32) NOT NULL,
  changed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  details LONGTEXT NULL CHECK (json_valid(details)),
  KEY idx_history_operation_id (operation_id),
  CONSTRAINT fk_history_operation FOREIGN KEY (operation_id) REFERENCES volume_operations (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE volume_daemon_metrics (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  metric_name VARCHAR(64) NOT NULL,
  metric_value DOUBLE NOT NULL,
  recorded_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
