// `destseg/element` where there are no elements, as in Node: pages that a server renders may import it.

export class DestsegInspectorElement {
  constructor() {
    throw new TypeError("<destseg-inspector> needs a browser: use `Inspector` of `destseg` here");
  }
}
