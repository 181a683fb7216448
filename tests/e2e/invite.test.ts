/** A relay that asks for invitations, by the command line and by the app: nothing is lost while one has none. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { toBase64url } from "#relay/protocol/bytes.ts";
import { launchPerson } from "#tests/support/browser.ts";
import { Home } from "#tests/support/cli.ts";
import { openApp, parts } from "#tests/support/product.ts";
import { startTestRelay } from "#tests/support/relay.ts";

const clientDir = resolve(import.meta.dirname, "../../dist/client");

describe("a relay by invitation", { timeout: 120_000 }, () => {
  it("keeps a home waiting, and takes everything once it is invited; another device needs no more", async () => {
    const relay = await startTestRelay({ settings: { access: "invite" } });
    const invite = toBase64url(relay.firstInvite ?? new Uint8Array());
    using home = new Home();
    const words = await home.init(relay.httpUrl);
    await home.write("Before the invitation", "text");
    const refused = await home.run(["sync", "--timeout", "3"]);
    expect(refused.code).not.toBe(0);
    expect(refused.stdout + refused.stderr).toContain("enter it in Settings");
    const wrong = await home.run(["redeem", "AAAAAAAAAAAAAAAAAAAAAA"]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("it does not know this invitation");
    expect((await home.run(["redeem", "nonsense"])).stderr).toContain("This is not an invitation");

    expect((await home.run(["redeem", invite])).code).toBe(0);
    expect((await home.run(["sync"])).code).toBe(0);
    expect((await home.run(["ls"])).stdout).toContain("Before the invitation");

    using other = new Home();
    expect((await other.run(["--relay", relay.httpUrl, "restore"], words)).code).toBe(0);
    expect((await other.run(["sync"])).code).toBe(0);
    expect((await other.run(["ls"])).stdout).toContain("Before the invitation");
    // A notebook of its own is a new space: only the shared access key lets it in.
    await other.run(["--json", "new", "--title", "By the other device", "--notebook", "New"], "x");
    expect((await other.run(["sync"])).code).toBe(0);
    await relay.stop();
  });

  it("says in the app what is missing, and goes on when the invitation is entered", async () => {
    const relay = await startTestRelay({
      clientDir,
      settings: { access: "invite", guests: "off" },
    });
    const profile = mkdtempSync(join(tmpdir(), "sealeaf-profile-"));
    await using person = await launchPerson(profile);
    const { page } = person;
    await openApp(page, `http://localhost:${relay.port}/`);
    const { body, status } = parts(page);
    await body.click();
    await page.keyboard.type("Written without an invitation");
    await status.getByText("Needs you").waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByText("I have an invitation to this relay").click();
    const field = page.getByRole("textbox", { name: "Invitation" });
    await field.fill("AAAAAAAAAAAAAAAAAAAAAA");
    await page.getByRole("button", { name: "Redeem" }).click();
    await page.getByText("it does not know this invitation").waitFor();
    await field.fill(toBase64url(relay.firstInvite ?? new Uint8Array()));
    await page.getByRole("button", { name: "Redeem" }).click();
    await page.getByText("The relay has let you in.").waitFor();
    await page.keyboard.press("Escape");
    await status.getByText("Up to date").waitFor();
    expect(await body.innerText()).toContain("Written without an invitation");
    await person.close();
    await relay.stop();
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  });
});
