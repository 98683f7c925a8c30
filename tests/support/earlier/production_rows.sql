-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Rows of an appliance at work: two volumes of one replicated machine on the appliance, one volume of another machine
-- that runs as a failover, and operations of each type; one operation was under way when the earlier daemon ended.

INSERT INTO vm_replication_contexts (context_id, vm_name) VALUES ('ctx-1', 'web'), ('ctx-2', 'mail');

INSERT INTO replication_jobs (id, vm_context_id, status) VALUES ('job-1', 'ctx-1', 'replicating');

INSERT INTO ossea_volumes (id, vm_context_id, volume_id, volume_name, size_gb, device_path, status) VALUES
  (1, 'ctx-1', '11111111-0000-4000-8000-000000000001', 'web-0', 1,
   '/dev/disk/by-id/virtio-11111111000040008000', 'attached'),
  (2, 'ctx-1', '11111111-0000-4000-8000-000000000002', 'web-1', 2,
   '/dev/disk/by-id/virtio-11111111000040009000', 'attached'),
  (3, 'ctx-2', '11111111-0000-4000-8000-000000000003', 'mail-0', 3,
   'remote-vm-bbbbbbbb-0000-4000-8000-000000000000', 'attached');

INSERT INTO vm_disks (id, job_id, vm_context_id, ossea_volume_id, disk_id) VALUES
  (1, 'job-1', 'ctx-1', 1, 'disk-2000'), (2, 'job-1', 'ctx-1', 2, 'disk-2001');

INSERT INTO device_mappings (id, vm_context_id, volume_uuid, vm_id, operation_mode, cloudstack_device_id,
  requires_device_correlation, device_path, cloudstack_state, linux_state, size, created_at, ossea_snapshot_id,
  snapshot_created_at, snapshot_status) VALUES
  ('m-1', 'ctx-1', '11111111-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000000', 'oma', 1, 1,
   '/dev/disk/by-id/virtio-11111111000040008000', 'attached', 'detected', 1073741824, '2025-09-01 10:00:00',
   'snap-1', '2025-09-02 10:00:00', 'ready'),
  ('m-2', 'ctx-1', '11111111-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000000', 'oma', 2, 1,
   '/dev/disk/by-id/virtio-11111111000040009000', 'attached', 'detected', 2147483648, '2025-09-01 10:00:01',
   NULL, NULL, 'none'),
  ('m-3', 'ctx-2', '11111111-0000-4000-8000-000000000003', 'bbbbbbbb-0000-4000-8000-000000000000', 'failover', 0, 0,
   'remote-vm-bbbbbbbb-0000-4000-8000-000000000000', 'attached', 'n/a', 0, '2025-09-01 10:00:02',
   NULL, NULL, NULL);

INSERT INTO nbd_exports (id, vm_context_id, job_id, volume_id, vm_disk_id, device_mapping_uuid, export_name, port,
  device_path, config_path, status, created_at, updated_at) VALUES
  (1, 'ctx-1', 'job-1', '11111111-0000-4000-8000-000000000001', 1, NULL,
   'migration-vol-11111111-0000-4000-8000-000000000001', 10809, '/dev/disk/by-id/virtio-11111111000040008000',
   '/etc/nbd-server/conf.d/migration-vol-11111111-0000-4000-8000-000000000001.conf', 'active',
   '2025-09-01 10:00:00', '2025-09-01 10:00:00'),
  (2, 'ctx-1', 'job-1', '', 2, '11111111-0000-4000-8000-000000000002',
   'migration-vol-11111111-0000-4000-8000-000000000002', 10809, '/dev/disk/by-id/virtio-11111111000040009000',
   '/etc/nbd-server/conf.d/migration-vol-11111111-0000-4000-8000-000000000002.conf', 'active',
   '2025-09-01 10:00:01', '2025-09-01 10:00:01');

INSERT INTO volume_operations (id, type, status, volume_id, vm_id, request, response, error, created_at, updated_at,
  completed_at) VALUES
  ('22222222-0000-4000-8000-000000000001', 'create', 'completed', '', NULL, '{"name":"web-0"}',
   '{"volume_id":"11111111-0000-4000-8000-000000000001"}', NULL, '2025-09-01 09:00:00', '2025-09-01 09:00:09',
   '2025-09-01 09:00:09'),
  ('22222222-0000-4000-8000-000000000002', 'attach', 'completed', '11111111-0000-4000-8000-000000000001',
   'aaaaaaaa-0000-4000-8000-000000000000', '{}', '{}', NULL, '2025-09-01 09:00:10', '2025-09-01 10:00:00',
   '2025-09-01 10:00:00'),
  ('22222222-0000-4000-8000-000000000003', 'detach', 'failed', '11111111-0000-4000-8000-000000000003', NULL, '{}',
   NULL, 'it is in use', '2025-09-01 11:00:00', '2025-09-01 11:00:03', '2025-09-01 11:00:03'),
  ('22222222-0000-4000-8000-000000000004', 'delete', 'executing', '11111111-0000-4000-8000-000000000004', NULL, '{}',
   NULL, NULL, '2025-09-01 12:00:00', '2025-09-01 12:00:01', NULL);
