/* libFuzzer's engine as a Python module: `run(arguments, callable)` never returns, it ends the process.

   The callable gets the bytes of each case. What it raises is printed, and the process aborts: libFuzzer keeps the case.
   Built and loaded by tests/libfuzzer.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *data, size_t size));

static PyObject *target;

static int one(const uint8_t *data, size_t size)
{
    PyObject *result = PyObject_CallFunction(target, "y#", (const char *)data, (Py_ssize_t)size);
    if (result == NULL) {
        PyErr_Print();
        abort();
    }
    Py_DECREF(result);
    return 0;
}

static PyObject *run(PyObject *self, PyObject *args)
{
    PyObject *list;
    static char *words[64];
    char **argv = words;
    int argc;
    (void)self;
    /* No data of Python's is named here: tools that are started with this library loaded do without Python. */
    if (!PyArg_ParseTuple(args, "OO", &list, &target))
        return NULL;
    argc = (int)PyList_Size(list);
    for (int i = 0; i < argc && i < 63; i++) {
        words[i] = (char *)PyUnicode_AsUTF8(PyList_GetItem(list, i));
        if (words[i] == NULL)
            return NULL;
    }
    Py_INCREF(target);
    Py_INCREF(list);
    return PyLong_FromLong(LLVMFuzzerRunDriver(&argc, &argv, one));
}

static PyMethodDef methods[] = {{"run", run, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "kf_libfuzzer", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_kf_libfuzzer(void)
{
    return PyModule_Create(&module);
}
