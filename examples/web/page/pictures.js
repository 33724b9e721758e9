// The visitor's pictures: found in what was dropped, decoded and cut square by the browser.

export async function toBytes(file, side) {
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(side, side);
  const c = canvas.getContext("2d", { willReadFrequently: true });
  const cut = Math.min(bitmap.width, bitmap.height);
  c.imageSmoothingQuality = "high";
  c.drawImage(bitmap, (bitmap.width - cut) / 2, (bitmap.height - cut) / 2, cut, cut, 0, 0, side, side);
  bitmap.close();
  const { data } = c.getImageData(0, 0, side, side);
  return Uint8Array.from({ length: side * side * 3 }, (_, i) => data[4 * ((i / 3) | 0) + (i % 3)]);
}

// Files with the name of the folder that each lies in, if any.
export async function collect(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  async function walk(entry, className) {
    if (entry.isFile) {
      const file = await new Promise((done, fail) => entry.file(done, fail));
      if (file.type.startsWith("image/")) found.push({ className, file });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!part.length) break;
      for (const child of part) await walk(child, entry.name);
    }
  }
  for (const entry of entries) await walk(entry, "");
  return found;
}
