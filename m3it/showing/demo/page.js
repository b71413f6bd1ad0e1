// The control that adds pictures, chosen, pasted or dropped: their bytes go with the event, and no file is uploaded.
const add = async chosen => {
  let left = props.most_bytes;
  const files = [];
  for (const file of chosen) {
    left -= file.size;
    if (left < 0) { files.push({name: file.name}); continue; }
    const url = await new Promise(done => {
      const reader = new FileReader();
      reader.onloadend = () => done(reader.result || "");
      reader.readAsDataURL(file);
    });
    files.push({name: file.name, data: url.slice(url.indexOf(",") + 1)});
  }
  if (files.length) trigger("upload", {files});
};
element.addEventListener("change", event => { add([...event.target.files]); event.target.value = ""; });
element.addEventListener("dragover", event => event.preventDefault());
element.addEventListener("drop", event => { event.preventDefault(); add([...event.dataTransfer.files]); });
document.addEventListener("paste", event => {
  if (event.clipboardData.files.length) { event.preventDefault(); add([...event.clipboardData.files]); }
});
