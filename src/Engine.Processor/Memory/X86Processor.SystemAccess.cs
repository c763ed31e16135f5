namespace Hypervisor.Engine.Processor;

// Accesses that the processor makes by itself — descriptor tables, task-state segments, stacks of handlers. They are supervisor
// accesses whatever the privilege level (Intel SDM vol. 3A, 4.6.1).
public sealed unsafe partial class X86Processor
{
    internal T ReadSystem<T>(ulong linear) where T : unmanaged
    {
        EnterSupervisor();
        T value = Read<T>(_isLongMode ? linear : (uint)linear);
        LeaveSupervisor();
        return value;
    }

    internal void WriteSystem<T>(ulong linear, T value) where T : unmanaged
    {
        EnterSupervisor();
        Write(_isLongMode ? linear : (uint)linear, value);
        LeaveSupervisor();
    }

    private void EnterSupervisor()
    {
        _implicitSupervisor = true;
        State->Tlb = _tlb + ((int)((State->Cr4 & Cr4Smap) != 0 ? TranslationSet.Supervisor : TranslationSet.SupervisorUser)
            * TranslationBuffer.SetLength);
    }

    // After an access, and after one that raised an exception.
    private void LeaveSupervisor()
    {
        _implicitSupervisor = false;
        SelectTranslationSet();
    }
}
