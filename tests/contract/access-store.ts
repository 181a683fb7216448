/** What every engine promises of invitations, access keys and owners (relay/store/access-store.ts). */
import { describe, expect, it } from "vitest";
import { chainStart } from "#relay/protocol/domain.ts";
import { noAdditions, openSpace, writeOf } from "#relay/space.ts";
import type { AccessStore, InviteRow } from "#relay/store/access-store.ts";
import type { Store } from "#relay/store/store.ts";
import { bytesNamed, TestSpace } from "#tests/support/space-identities.ts";

export interface AccessStoreUnderTest {
  readonly store: Store & { readonly access: AccessStore };
  /** Another one on the same data, after this one was closed. */
  reopen(): Promise<Store & { readonly access: AccessStore }>;
  dispose(): Promise<void>;
}

export function describeAccessStore(
  name: string,
  setup: () => Promise<AccessStoreUnderTest>,
): void {
  async function withStore(run: (under: AccessStoreUnderTest) => Promise<void>): Promise<void> {
    const under = await setup();
    try {
      await run(under);
    } finally {
      await under.dispose();
    }
  }

  describe(`access store: ${name}`, () => {
    it("lists invitations, the oldest first, until they are redeemed or withdrawn", () =>
      withStore(async ({ store: { access } }) => {
        const [second, first, third] = [invite("b", 2), invite("a", 1), invite("c", 3, 900)];
        for (const row of [second, first, third]) await access.addInvite(row);
        expect(await access.listInvites()).toEqual([first, second, third]);
        expect(await access.revokeInvite(first.tokenHash)).toBe(true);
        expect(await access.revokeInvite(first.tokenHash)).toBe(false);
        expect(await access.redeemInvite(second.tokenHash, keyNamed("ann"), 10)).toBe(true);
        expect(await access.listInvites()).toEqual([third]);
        expect(await access.redeemInvite(first.tokenHash, keyNamed("bob"), 10)).toBe(false);
      }));

    it("[AUTH-3] admits the key that redeems an invitation first, and keeps it", () =>
      withStore(async (under) => {
        const { access } = under.store;
        const row = invite("ann's", 1, 100);
        await access.addInvite(row);
        const [ann, bob] = [keyNamed("ann"), keyNamed("bob")];
        expect(await access.readAccessKey(ann)).toBeNull();
        const raced = await Promise.all([
          access.redeemInvite(row.tokenHash, ann, 99),
          access.redeemInvite(row.tokenHash, bob, 99),
        ]);
        expect(raced).toEqual([true, false]);
        // Its answer may have been lost: again is harmless, also after its time.
        expect(await access.redeemInvite(row.tokenHash, ann, 200)).toBe(true);
        await under.store.close();
        const again = await under.reopen();
        const kept = { accessPub: ann, label: "ann's", admittedAt: 99 };
        expect(await again.access.readAccessKey(ann)).toEqual(kept);
        expect(await again.access.listAccessKeys()).toEqual([kept]);
        expect(await again.access.readAccessKey(bob)).toBeNull();
      }));

    it("[AUTH-3] redeems nothing from the moment it expires, and nothing unknown", () =>
      withStore(async ({ store: { access } }) => {
        const row = invite("short", 1, 100);
        await access.addInvite(row);
        expect(await access.redeemInvite(row.tokenHash, keyNamed("late"), 100)).toBe(false);
        expect(await access.redeemInvite(bytesNamed("no", 32), keyNamed("late"), 1)).toBe(false);
        expect(await access.listAccessKeys()).toEqual([]);
      }));

    it("[AUTH-4] a withdrawn key is out, and its spent invitation brings it back no more", () =>
      withStore(async ({ store: { access } }) => {
        const row = invite("ann's", 1);
        await access.addInvite(row);
        await access.redeemInvite(row.tokenHash, keyNamed("ann"), 2);
        expect(await access.revokeAccessKey(keyNamed("ann"))).toBe(true);
        expect(await access.revokeAccessKey(keyNamed("ann"))).toBe(false);
        expect(await access.readAccessKey(keyNamed("ann"))).toBeNull();
        expect(await access.redeemInvite(row.tokenHash, keyNamed("ann"), 3)).toBe(false);
      }));

    it("[LIM-6] sums what an owner's spaces hold; a space that is there keeps its owner", () =>
      withStore(async ({ store }) => {
        const { access } = store;
        const [ann, bob] = [keyNamed("ann"), keyNamed("bob")];
        const [one, two, three] = ["one", "two", "three"].map((named) => new TestSpace(named));
        if (one === undefined || two === undefined || three === undefined) throw new Error("three");
        expect(await access.readOwnership(one.spaceId)).toBeNull();
        await access.claimSpace(one.spaceId, bob);
        await access.claimSpace(one.spaceId, ann);
        await access.claimSpace(two.spaceId, ann);
        await access.claimSpace(three.spaceId, bob);
        expect(await access.readOwnership(one.spaceId)).toEqual({
          accessPub: ann,
          countedBytes: 0,
        });
        await store.append([
          firstWrite(one, 1000),
          firstWrite(two, 200),
          firstWrite(three, 30),
          firstWrite(new TestSpace("nobody's"), 4),
        ]);
        expect(await access.readOwnership(two.spaceId)).toEqual({
          accessPub: ann,
          countedBytes: 1200,
        });
        await access.claimSpace(three.spaceId, ann);
        expect(await access.readOwnership(three.spaceId)).toEqual({
          accessPub: bob,
          countedBytes: 30,
        });
      }));
  });
}

function invite(label: string, madeAt: number, expiresAt: number | null = null): InviteRow {
  return { tokenHash: bytesNamed(`token ${label}`, 32), label, madeAt, expiresAt };
}

function keyNamed(name: string): Uint8Array {
  return bytesNamed(`access key of ${name}`, 32);
}

function firstWrite({ genesis, spaceId }: TestSpace, countedBytes: number) {
  const opened = openSpace(genesis);
  if (!opened.ok) throw new Error("a sound genesis");
  const to = { ...opened.state, chain: chainStart(spaceId), countedBytes };
  return writeOf(opened.state, to, noAdditions, 1).write;
}
