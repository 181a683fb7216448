#!/usr/bin/python3
"""A WebKitGTK browser for WebKitWebDriver that keeps its profile: MiniBrowser is always private under automation.

Arguments: the profile's folder, then the runtime features to switch on, separated by commas ("" for none).
What pages print and throw goes to the standard output.
"""
import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # noqa: E402

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.violatedDirective} blocked ${event.blockedURI}`));
"""


def settings(features):
    made = WebKit2.Settings()
    made.set_enable_write_console_messages_to_stdout(True)
    known = WebKit2.Settings.get_all_features()
    for index in range(known.get_length()):
        if known.get(index).get_identifier() in features:
            made.set_feature_enabled(known.get(index), True)
    return made


def scripts():
    manager = WebKit2.UserContentManager()
    manager.add_script(
        WebKit2.UserScript.new(
            REPORT_VIOLATIONS,
            WebKit2.UserContentInjectedFrames.ALL_FRAMES,
            WebKit2.UserScriptInjectionTime.START,
            None,
            None,
        )
    )
    return manager


def main(profile, features):
    data = WebKit2.WebsiteDataManager(
        base_data_directory=profile + "/data", base_cache_directory=profile + "/cache"
    )
    context = WebKit2.WebContext.new_with_website_data_manager(data)
    context.set_automation_allowed(True)
    chosen, injected = settings(features), scripts()

    def new_view(_session):
        view = WebKit2.WebView(
            web_context=context,
            settings=chosen,
            user_content_manager=injected,
            is_controlled_by_automation=True,
        )
        window = Gtk.Window()
        window.set_default_size(1280, 860)
        window.add(view)
        window.show_all()
        view.connect("close", lambda _view: window.destroy())
        view.connect("permission-request", lambda _view, request: (request.allow(), True)[1])
        return view

    def automation_started(_context, session):
        info = WebKit2.ApplicationInfo()
        info.set_name("sealeaf-test")
        info.set_version(1, 0, 0)
        session.set_application_info(info)
        session.connect("create-web-view", new_view)

    context.connect("automation-started", automation_started)
    Gtk.main()


# The driver puts switches of its own among them.
PLAIN = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
main(PLAIN[0], set(PLAIN[1].split(",")) if len(PLAIN) > 1 else set())
