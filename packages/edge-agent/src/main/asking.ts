import type { Command } from "commander";

/** Options of every command that asks the running agent. */
export interface AskOptions {
  readonly stateDir: string;
  readonly output: "text" | "json";
}

/** What is asked of the agent, and how its answer reads. */
export interface Question<T> {
  readonly path: string;
  /** Default GET. */
  readonly method?: "GET" | "POST" | "DELETE";
  readonly text: (answer: T) => string;
}

/** What a file of commands needs to ask the running agent. */
export interface Asking {
  /** Gives a command the options of AskOptions. */
  readonly command: (command: Command) => Command;
  /** Asks, and prints the answer as text or as JSON. */
  readonly answer: <T>(options: AskOptions, question: Question<T>) => Promise<void>;
}
