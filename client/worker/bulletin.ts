/**
 * What tabs and workers of one browser call out to each other: everybody hears it, nobody has to be
 * there, nothing can crash. It carries words only; ports go through the broker.
 */
export const BULLETIN = "sealeaf-bulletin";

export type Notice =
  /**
   * A tab that needs the leader asks for it. `suspect` names the broker it last sent a port through
   * without an answer.
   */
  | { readonly type: "who-leads"; readonly suspect: string | null }
  /**
   * A worker leads and takes ports through the broker of that name; with null, where there are no
   * brokers, it serves its own tab alone. `reign` is another with every term of office.
   */
  | { readonly type: "leads"; readonly reign: string; readonly broker: string | null }
  /** A worker whose tab has come into sight would lead. */
  | { readonly type: "wanted" };

export interface Bulletin {
  post(notice: Notice): void;
  /** Calls `listener` with what others post until the returned function is called. */
  listen(listener: (notice: Notice) => void): () => void;
}

export function openBulletin(): Bulletin {
  const channel = new BroadcastChannel(BULLETIN);
  return {
    post: (notice) => channel.postMessage(notice),
    listen: (listener) => {
      const hear = ({ data }: MessageEvent<Notice>): void => listener(data);
      channel.addEventListener("message", hear);
      return () => channel.removeEventListener("message", hear);
    },
  };
}
