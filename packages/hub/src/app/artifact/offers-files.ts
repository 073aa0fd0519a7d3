import type { ReleaseFile } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ArtifactFormat } from "@flotilla/shared/model/resources/artifact";
import type { ResourceStore } from "../resources/ports.ts";

/** A content as a file of one release. */
export interface FileOfRelease {
  readonly release: ObjectOf<"Release">;
  readonly file: ReleaseFile;
}

/** Which releases a content belongs to. */
export class ReleaseFiles {
  readonly #store: Pick<ResourceStore, "get" | "list" | "subscribe">;
  #bySha: ReadonlyMap<string, readonly FileOfRelease[]> | undefined;

  constructor(deps: { readonly store: Pick<ResourceStore, "get" | "list" | "subscribe"> }) {
    this.#store = deps.store;
    deps.store.subscribe((entries) => {
      // Files of a release never change.
      const isOther = entries.some(
        ({ key, type }) => key.kind === "Release" && type !== "MODIFIED",
      );
      if (isOther) this.#bySha = undefined;
    });
  }

  /** Every release that has a file of this content. */
  of(sha256: string): readonly FileOfRelease[] {
    this.#bySha ??= Map.groupBy(
      this.#store
        .list("Release")
        .flatMap((release) => release.spec.files.map((file) => ({ release, file }))),
      ({ file }) => file.sha256,
    );
    return this.#bySha.get(sha256) ?? [];
  }

  /** What the artifact's files are; `raw` when nobody says. */
  formatOf({ release }: FileOfRelease): ArtifactFormat {
    return this.#store.get("Artifact", "", release.spec.artifact)?.spec.format ?? "raw";
  }

  /** Content of the file that describes where the weights of this one lie: `model.json` beside it. */
  layoutOf({ release, file }: FileOfRelease): string | undefined {
    const folder = file.path.slice(0, file.path.lastIndexOf("/") + 1);
    return release.spec.files.find((f) => f.path === `${folder}model.json`)?.sha256;
  }
}
