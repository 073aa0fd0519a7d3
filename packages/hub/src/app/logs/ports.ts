/** Logs of an instance, asked of the node that runs it. Throws ApiError (NotFound, ServiceUnavailable, Timeout). */
export interface LogApi {
  tail(request: {
    readonly namespace: string;
    /** Name of the Assignment, which is the name of its Pod view. */
    readonly pod: string;
    readonly container?: string;
    readonly tailLines: number;
  }): Promise<{ readonly text: string; readonly truncated: boolean }>;
}
