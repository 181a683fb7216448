/** Who has access to the notebooks of the fake device, and the links they come by. */
import type { LinkRow, PersonRow, Role, Sharing } from "#client/device/api.ts";

export class FakeSharing {
  readonly #byNotebook = new Map<string, Sharing>();
  #lastNumber = 0;

  /** @param role of this device's person, in a notebook nothing is known of yet */
  of(notebook: string, role: Role = "admin"): Sharing {
    return (
      this.#byNotebook.get(notebook) ?? {
        people: [this.person({ name: "You", self: true, role })],
        links: [],
        mayManage: role === "admin",
        renewal: { everyDays: null, lastAt: null },
      }
    );
  }

  set(notebook: string, fields: Partial<Sharing>): void {
    this.#byNotebook.set(notebook, { ...this.of(notebook), ...fields });
  }

  person(fields: Partial<PersonRow> = {}): PersonRow {
    const id = this.#hex(64);
    return {
      id,
      name: "Ben",
      verified: true,
      colour: this.#lastNumber % 8,
      self: false,
      role: "edit",
      via: null,
      fingerprint: groupsOf(id),
      devices: [{ id: this.#hex(64), fingerprint: groupsOf(this.#hex(32)) }],
      ...fields,
    };
  }

  link(fields: Partial<LinkRow> = {}): LinkRow {
    return {
      id: this.#hex(64),
      role: "edit",
      expiresAt: null,
      maxJoins: null,
      joins: 0,
      state: "live",
      link: `https://notes.example/#1e.${"s".repeat(43)}.${"i".repeat(43)}`,
      ...fields,
    };
  }

  addLink(notebook: string, fields: Partial<LinkRow>): LinkRow {
    const link = this.link(fields);
    this.set(notebook, { links: [...this.of(notebook).links, link] });
    return link;
  }

  setPerson(notebook: string, id: string, fields: Partial<PersonRow> | null): void {
    const { people } = this.of(notebook);
    this.set(notebook, {
      people: people.flatMap((person) => {
        if (person.id !== id) return [person];
        return fields === null ? [] : [{ ...person, ...fields }];
      }),
    });
  }

  setLink(notebook: string, id: string, fields: Partial<LinkRow>): void {
    const { links } = this.of(notebook);
    this.set(notebook, {
      links: links.map((link) => (link.id === id ? { ...link, ...fields } : link)),
    });
  }

  #hex(digits: number): string {
    this.#lastNumber += 1;
    return this.#lastNumber.toString(16).padStart(digits, "f");
  }
}

function groupsOf(hex: string): string {
  return (hex.slice(-32).match(/.{4}/g) ?? []).join(" ");
}
