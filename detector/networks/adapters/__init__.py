"""GoogLeNet under the interfaces of other libraries, one module each; nothing else in the project imports them."""
