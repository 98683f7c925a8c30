-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Rows that stand beside those of production_rows.sql and that the daemon cannot keep: a mapping and an export that
-- name no volume, and a second export of a volume, older than the first.

INSERT INTO device_mappings (id, volume_uuid, vm_id, device_path, cloudstack_state, linux_state, size) VALUES
  ('m-4', '', 'aaaaaaaa-0000-4000-8000-000000000000', '', 'attached', 'detected', 0);

INSERT INTO nbd_exports (id, job_id, volume_id, export_name, port, device_path, config_path, status, updated_at) VALUES
  (3, 'job-1', '', 'nameless', 10809, '/dev/vdx', '', 'active', '2025-09-01 10:00:02'),
  (4, 'job-1', '11111111-0000-4000-8000-000000000001', 'second', 10809, '/dev/vdy', '', 'failed',
   '2024-01-01 00:00:00');
