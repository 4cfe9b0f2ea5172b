// What can go wrong.

/** A failure: a `code` for programs, and one sentence for people. index.d.ts lists the codes. */
export class DestsegError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "DestsegError";
    this.code = code;
  }
}

export const noImage = (message) => new DestsegError("image", message);

export const closed = () => new DestsegError("closed", "The inspector was closed: load the model once more.");
