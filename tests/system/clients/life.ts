// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A volume's life in TypeScript, as life.py has it. The types are those that openapi-typescript makes of the OpenAPI
// document: a path, an argument or a member that the document does not have does not compile.
//
//	node life.js http://127.0.0.1:8090

import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
type Operation = Schemas["operation"];
type Plan = Schemas["plan"];
type Event =
  | Schemas["event_operation"]
  | Schemas["event_volume"]
  | Schemas["event_mapping"]
  | Schemas["event_device"]
  | Schemas["event_export"]
  | Schemas["event_drift"]
  | Schemas["event_health"]
  | Schemas["event_resync"];

declare const process: { argv: string[]; exit(status: number): never };

const GIB = 1024 ** 3;

/** The answer of a request, or its error in words. */
function good<T>(answer: { data?: T; error?: Schemas["error"]; response: Response }): T {
  if (answer.error) throw new Error(`${answer.response.url}: ${answer.error.error} (${answer.error.code})`);
  return answer.data as T;
}

function first<T>(items: T[], fits: (item: T) => boolean = () => true): T {
  const found = items.find(fits);
  if (found === undefined) throw new Error("there is none");
  return found;
}

/** The events from now on. */
async function* eventsOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream of events has ended");
    text += decoder.decode(value, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice("data: ".length)) as Event;
    }
  }
}

/** Waits for the end of an operation that fits. */
async function endOf(events: AsyncGenerator<Event>, fits: (operation: Operation) => boolean): Promise<Operation> {
  for (;;) {
    const event = (await events.next()).value as Event;
    if (event.kind === "resync") throw new Error("events are missing");
    if (event.kind !== "operation" || event.change !== "ended" || !event.operation || !fits(event.operation)) continue;
    if (event.operation.status !== "completed") throw new Error(event.operation.error);
    return event.operation;
  }
}

async function live(client: Client<paths>): Promise<void> {
  const own = new Set<string>();
  const stream = good(await client.GET("/api/v1/events", { parseAs: "stream" }));
  const events = eventsOf(stream as ReadableStream<Uint8Array>);

  // A change answers with its operation, or with a plan if `dry_run` asks for one.
  const ended = async (begun: Operation | Plan): Promise<Record<string, unknown>> => {
    if (!("id" in begun)) throw new Error("a plan came, which nobody asked for");
    own.add(begun.id);
    return (await endOf(events, (operation) => operation.id === begun.id)).response ?? {};
  };

  const offering = first(good(await client.GET("/api/v1/offerings")).offerings, (one) => one.size === 0);
  const here = first(good(await client.GET("/api/v1/vms")).vms, (vm) => vm.is_appliance);
  const zone = first(good(await client.GET("/api/v1/zones")).zones);

  const created = await ended(good(await client.POST("/api/v1/volumes", {
    body: { name: "life", size: GIB, disk_offering_id: offering.id, zone_id: zone.id },
  })));
  const volume_id = String(created.volume_id);
  const params = { path: { volume_id } };
  console.log(`created ${volume_id}`);

  const attached = await ended(good(await client.POST("/api/v1/volumes/{volume_id}/attach", {
    params, body: { vm_id: here.id },
  })));
  console.log(`attached ${attached.device_path}`);
  const mapping = good(await client.GET("/api/v1/volumes/{volume_id}/device", { params }));
  console.log(`device ${mapping.device_path}`);
  const served = good(await client.GET("/api/v1/exports/{volume_id}", { params }));
  console.log(`export ${served.export_name} ${served.port}`);
  const resized = await ended(good(await client.POST("/api/v1/volumes/{volume_id}/resize", {
    params, body: { size: 2 * GIB },
  })));
  console.log(`resized ${resized.size}`);

  console.log("ready");
  const other = await endOf(events, (operation) => operation.volume_id === volume_id && !own.has(operation.id));
  const { history } = good(await client.GET("/api/v1/operations/{operation_id}/history", {
    params: { path: { operation_id: other.id } },
  }));
  const begin = first(history);
  console.log(`changed ${other.type} ${begin.caller?.surface} ${begin.asked_by}`);

  const detached = await ended(good(await client.POST("/api/v1/volumes/{volume_id}/detach", { params, body: {} })));
  console.log(`detached ${detached.device_path}`);
  const deleted = await ended(good(await client.DELETE("/api/v1/volumes/{volume_id}", { params })));
  console.log(`deleted ${deleted.volume_id}`);
}

try {
  await live(createClient<paths>({ baseUrl: first(process.argv.slice(2)) }));
  process.exit(0);      // the stream of events would go on
} catch (error) {
  console.error(`life.ts: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
