//! A folder that is dropped on the page.

use anyhow::Result;
use serde_json::json;

use crate::page::Page;

/// Drops a folder as a file manager does: entries with the browser's methods, which give a folder's content in parts.
const DROP: &str = "
    const root = {};
    for (const [path, bytes] of arguments[0]) {
        const names = path.split('/'), file = names.pop();
        names.reduce((folder, name) => folder[name] ??= {}, root)[file] = bytes;
    }
    const entry = (path, node) => Array.isArray(node) ? {
        isFile: true, isDirectory: false, fullPath: path,
        file: done => done(new File([Uint8Array.from(node)], path.split('/').pop())),
    } : {
        isFile: false, isDirectory: true, fullPath: path,
        createReader: () => {
            const children = Object.entries(node).map(([name, child]) => entry(`${path}/${name}`, child));
            return { readEntries: done => done(children.splice(0, 2)) };
        },
    };
    const [[name, folder]] = Object.entries(root);
    const event = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() });
    event.dataTransfer.items.add('text', 'text/plain');
    DataTransferItem.prototype.webkitGetAsEntry = () => entry(`/${name}`, folder);
    document.body.dispatchEvent(event);
";

/// Drops the folder that all these paths begin with.
pub(crate) async fn drop_folder(page: &Page, files: &[(&str, &[u8])]) -> Result<()> {
    let files: Vec<_> = files.iter().map(|(path, bytes)| json!([path, bytes])).collect();
    page.execute(DROP, vec![json!(files)]).await.map(|_| ())
}
