import type { Server } from "node:http";

export function pageServer(bundle: string, options?: { isolated?: boolean; dist?: string }): Server;
