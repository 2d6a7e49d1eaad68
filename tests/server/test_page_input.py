"""What the page takes: photographs, what is pasted or dropped, keys, a camera."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browsing import PHONE, PREDICTION_MS


def watch_images(page: Page) -> None:
    """Keep the image of every request; the browser's own protocol leaves the content of files out."""
    page.evaluate(
        """() => {
            const fetched = window.fetch;
            window.fetch = async (path, options) => {
                const image = options?.body instanceof FormData && options.body.get("image");
                if (image) window.sent = [...new Uint8Array(await image.arrayBuffer())];
                return fetched(path, options);
            };
        }"""
    )


def sent_image(page: Page) -> bytes:
    """The image of the request that is answered on the page, which allows no expression to be polled."""
    expect(page.locator("#result")).to_be_visible(timeout=PREDICTION_MS)
    return bytes(page.evaluate("window.sent"))


def photograph(path: Path, size: tuple[int, int], orientation: int) -> Path:
    """A photograph as a camera saves it: its left half is red before it is turned."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = 250
    pixels[:, size[0] // 2 :, 2] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


@pytest.mark.slow
def test_a_large_photograph_is_scaled_down_upright_before_it_is_sent(
    page: Page, tmp_path: Path
) -> None:
    large = photograph(tmp_path / "large.jpg", (3200, 2400), 6)  # to be turned clockwise
    page.set_input_files("#image", large)
    expect(page.locator("#image-name")).to_have_text("large.jpg, scaled down to 1200 × 1600 pixels")
    watch_images(page)
    page.locator("#submit").click()
    image = Image.open(io.BytesIO(sent_image(page)))
    assert image.size == (1200, 1600) and image.getexif().get(0x0112, 1) == 1
    top, bottom = (image.convert("RGB").getpixel((600, y)) for y in (100, 1500))
    assert isinstance(top, tuple) and isinstance(bottom, tuple)
    assert top[0] > 200 and bottom[2] > 200, "red was on the left and is on top"


def test_a_small_image_is_sent_as_it_is(page: Page, tmp_path: Path) -> None:
    small = photograph(tmp_path / "small.jpg", (320, 240), 6)
    page.set_input_files("#image", small)
    expect(page.locator("#preview")).to_be_visible()
    watch_images(page)
    page.locator("#submit").click()
    assert sent_image(page) == small.read_bytes()


PASTE = """async ([kind, value]) => {
    const transfer = new DataTransfer();
    if (kind === "file") {
        const blob = await (await fetch(value)).blob();
        transfer.items.add(new File([blob], "pasted.jpg", { type: "image/jpeg" }));
    } else transfer.setData(kind, value);
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
}"""


def test_an_image_can_be_pasted(page: Page) -> None:
    page.evaluate(PASTE, ["file", "examples/0.jpg"])
    expect(page.locator("#image-name")).to_have_text("pasted.jpg")
    expect(page.locator("#preview")).to_be_visible()


def test_a_pasted_link_gets_a_sentence_and_contacts_nobody(page: Page) -> None:
    page.evaluate(PASTE, ["text/plain", "https://museum.example/painting.jpg"])
    expect(page.get_by_role("alert")).to_contain_text("That is a link, not a file")


def test_a_link_to_an_image_of_the_service_is_taken(page: Page) -> None:
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.setData("text/uri-list", new URL("examples/1.jpg", location.href).href);
            document.querySelector("#drop").dispatchEvent(
                new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }"""
    )
    expect(page.locator("#image-name")).to_have_text("1.jpg")
    expect(page.locator("#preview")).to_be_visible()


def test_an_image_that_is_taken_while_another_one_waits_to_be_sent_is_not_asked_about(
    page: Page, tmp_path: Path
) -> None:
    """Nobody has pressed the button for it."""
    requests: list[str] = []
    page.on("request", lambda sent: requests.append(sent.url) if "predict" in sent.url else None)
    page.evaluate(
        """() => {
            const read = window.createImageBitmap;
            const gate = new Promise(resolve => { window.go_on = resolve; });
            window.createImageBitmap = async (...given) => { await gate; return read(...given); };
        }"""
    )
    page.set_input_files("#image", photograph(tmp_path / "first.jpg", (320, 240), 1))
    page.locator("#submit").click()
    page.set_input_files("#image", photograph(tmp_path / "second.jpg", (320, 240), 1))
    page.evaluate("window.go_on()")
    expect(page.locator("#image-name")).to_have_text("second.jpg")
    page.wait_for_timeout(500)
    assert requests == []
    page.locator("#submit").click()
    expect(page.locator("#result")).to_be_visible(timeout=PREDICTION_MS)


def test_a_large_photograph_that_is_asked_about_at_once_is_scaled_down_first(
    page: Page, tmp_path: Path
) -> None:
    watch_images(page)
    page.set_input_files("#image", photograph(tmp_path / "large.jpg", (3200, 2400), 1))
    page.locator("#submit").click()
    assert Image.open(io.BytesIO(sent_image(page))).size == (1600, 1200)


def test_control_and_enter_ask(page: Page) -> None:
    page.locator("#caption").fill("a black sky")
    page.locator("#caption").press("Control+Enter")
    expect(page.locator("#result")).to_be_visible(timeout=PREDICTION_MS)
    expect(page.locator("#caption")).to_have_value("a black sky")


@pytest.mark.parametrize(
    "page", [{"viewport": PHONE, "has_touch": True, "is_mobile": True}], indirect=True
)
def test_a_phone_offers_its_camera(page: Page, picture: Path) -> None:
    expect(page.get_by_text("Take a photo")).to_be_visible()
    camera = page.locator("#camera")
    assert camera.get_attribute("capture") == "environment"
    assert camera.get_attribute("accept") == "image/*"
    camera.set_input_files(picture)
    expect(page.locator("#image-name")).to_have_text(picture.name)


def test_a_desktop_offers_no_camera(page: Page) -> None:
    expect(page.get_by_text("Take a photo")).to_be_hidden()


def test_several_images_make_a_table_whose_rows_can_be_opened(
    page: Page, picture: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    second = photograph(tmp_path / "second.jpg", (60, 40), 1)
    page.set_input_files("#image", [picture, broken, second])
    rows = page.locator("#several-table tbody tr")
    expect(rows).to_have_count(3)
    expect(page.locator("#several-status")).to_have_text(
        "3 of 3 images answered", timeout=PREDICTION_MS
    )
    expect(rows.nth(0).locator(".tag")).to_have_count(3)
    expect(rows.nth(1)).to_contain_text(re.compile("Failed: .*not an image that can be read"))
    with page.expect_download() as saved:
        page.locator("#save-table").click()
    lines = saved.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("image,culture,top,amusement,awe") and len(lines) == 7
    rows.nth(2).get_by_role("button").click()
    expect(page.locator("#result")).to_be_visible(timeout=PREDICTION_MS)
    expect(page.locator("#image-name")).to_have_text("second.jpg")
