// Shared by both pictures: the container of brainlm_core/viz/transport.py, colours, saving as PNG.
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const kinds = { uint8: Uint8Array, uint16: Uint16Array };
  for (const [name, kind, offset, count] of header.arrays) {
    const start = 4 + length + offset, Kind = kinds[kind];
    header[name] = new Kind(bytes.slice(start, start + count * Kind.BYTES_PER_ELEMENT).buffer);
  }
  return header;
}

function colourTable(stops) {
  const rgb = stops.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  const out = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const p = (i / 255) * (rgb.length - 1), j = Math.min(rgb.length - 2, Math.floor(p)), f = p - j;
    for (let k = 0; k < 3; k++) out[3 * i + k] = rgb[j][k] + f * (rgb[j + 1][k] - rgb[j][k]);
  }
  return out;
}

// On an opaque ground, so that the text can be read wherever the picture is pasted.
function savePng(canvas, name) {
  const copy = document.createElement("canvas");
  copy.width = canvas.width;
  copy.height = canvas.height;
  const g = copy.getContext("2d");
  g.fillStyle = getComputedStyle(canvas).getPropertyValue("--st-background-color") || "#ffffff";
  g.fillRect(0, 0, copy.width, copy.height);
  g.drawImage(canvas, 0, 0);
  const link = document.createElement("a");
  link.href = copy.toDataURL("image/png");
  link.download = name;
  link.click();
}

